//! nginx and haproxy, as proxies and nginx as the origin.

use std::{net::SocketAddr, path::Path, process::Command};

use anyhow::Result;

use crate::process::command;

use super::{
    Bench,
    proxy::{CONNECTIONS, Place, Proxy, Wants},
};

/// Starts nginx before the upstream: one worker, connections to the upstream are kept, no log of requests, nothing on the disk.
pub(crate) fn start(bench: &Bench, wants: &Wants<'_>) -> Result<Proxy> {
    let place = Place::reserve(bench, wants.label)?;
    let server = format!(
        "upstream origin {{ server {}; keepalive 128; keepalive_requests 100000000; keepalive_timeout 1h; }}
server {{
  listen {} backlog=4096{};
  location / {{
    proxy_pass http://origin; proxy_http_version 1.1; proxy_set_header Connection \"\";
    proxy_max_temp_file_size 0; proxy_read_timeout 1h;
  }}
}}",
        wants.upstream,
        place.address,
        wants.certificate.map_or_else(String::new, |certificate| {
            let (chain, key) = (certificate.chain.display(), certificate.key.display());
            format!(
                " ssl; ssl_certificate {chain}; ssl_certificate_key {key}; ssl_protocols TLSv1.3; ssl_session_tickets off; ssl_session_cache off"
            )
        }),
    );
    let config = place.write("nginx.conf", configuration(&place.folder, &server))?;
    let program = program(&bench.tools.nginx, &place.folder, &config);
    Proxy::start(place, wants, false, &program)
}

/// The configuration of an origin that serves files and tells in `X-Saw` what `X-Judged` said.
pub(crate) fn origin(folder: &Path, address: SocketAddr, files: &Path) -> String {
    let server = format!(
        "server {{ listen {address} backlog=4096; root {}; add_header X-Saw $http_x_judged always; }}\nopen_file_cache max=100;",
        files.display()
    );
    configuration(folder, &server)
}

pub(crate) fn program(nginx: &Path, folder: &Path, config: &Path) -> Command {
    let mut program = command(nginx);
    program.arg("-p").arg(folder).arg("-c").arg(config);
    program
}

fn configuration(folder: &Path, servers: &str) -> String {
    let folder = folder.display();
    // The user is only asked for by root, and has to see these directories.
    format!(
        "worker_processes 1; daemon off; user root; pid {folder}/pid; error_log stderr error; worker_rlimit_nofile {files};
events {{ worker_connections {connections}; }}
http {{
access_log off; sendfile on; tcp_nopush on; keepalive_requests 100000000; keepalive_timeout 1h; client_header_timeout 1h;
client_body_temp_path {folder}/body; proxy_temp_path {folder}/temp;
fastcgi_temp_path {folder}/fastcgi; uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
types {{ application/json json; application/octet-stream bin; }}
{servers}
}}
",
        files = CONNECTIONS + 500,
        connections = CONNECTIONS,
    )
}

/// Starts haproxy before the upstream: one thread, connections to the upstream are shared.
pub(crate) fn start_haproxy(bench: &Bench, wants: &Wants<'_>) -> Result<Proxy> {
    let place = Place::reserve(bench, wants.label)?;
    let config = format!(
        "global\n  nbthread 1\n  no strict-limits\n  maxconn {CONNECTIONS}\n\
         defaults\n  mode http\n  timeout connect 10s\n  timeout client 1h\n  timeout server 1h\n  timeout http-keep-alive 1h\n  \
         option http-keep-alive\n  http-reuse always\n\
         frontend clients\n  bind {} backlog 4096\n  default_backend origin\n\
         backend origin\n  server origin {}\n",
        place.address, wants.upstream
    );
    let config = place.write("haproxy.cfg", config)?;
    let mut program = command(&bench.tools.haproxy);
    program.arg("-db").arg("-f").arg(config);
    Proxy::start(place, wants, false, &program)
}
