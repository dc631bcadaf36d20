//! Load, and what it says.

use std::{
    fs,
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use crate::process::{command, output};

use super::{
    Bench, WARM_UP,
    data::{Measure, Values},
    proxy::Proxy,
    statistics::{float, percentile},
};

/// Connections of wrk, and requests at once of h2load's single one.
const CONNECTIONS: &str = "32";
const STREAMS: &str = "100";

/// What a client says of itself, as programs do; and whom it asks, as wrk and as h2load have it.
const FIELDS: [&str; 2] = ["user-agent: Element/1.11 (Linux; x86_64) bench", "accept: application/json, text/plain, */*"];
const HOST: &str = "Host: matrix.example.org";
const AUTHORITY: &str = ":authority: matrix.example.org";

/// New connections a second, and how they are spread over it.
const HANDSHAKES: u64 = 1000;
const RATE: &str = "50";
const PERIOD: &str = "50ms";

/// Has wrk tell one line of JSON.
const SCRIPT: &str = r#"done = function(summary, latency, requests)
  local errors = summary.errors
  io.write(string.format(
    '\n{"requests":%d,"us":%d,"failed":%d,"p50":%d,"p99":%d,"p999":%d}\n',
    summary.requests, summary.duration,
    errors.connect + errors.read + errors.write + errors.status + errors.timeout,
    latency:percentile(50), latency:percentile(99), latency:percentile(99.9)))
end
"#;

/// Bytes that are read at a time of what is large.
const PIECE: usize = 256 << 10;

/// How long nothing may come.
const PATIENCE: Duration = Duration::from_secs(30);

/// What was done in a round, without errors.
#[derive(Debug, PartialEq, Eq)]
struct Done {
    requests: u64,
    micros: u64,
    /// Microseconds.
    p50: u64,
    p99: u64,
    p999: u64,
}

/// A round of requests of wrk, 32 at a time on as many connections that are kept.
pub(crate) fn requests(bench: &Bench, proxy: &mut Proxy, path: &str) -> Result<Values> {
    let mut values = Values::new();
    let (done, cpu, peak) = round(bench, proxy, |seconds| wrk(bench, proxy.url(path), seconds))?;
    common(&mut values, &done, peak);
    values.insert(Measure::Cpu, cpu * 1e6 / float(done.requests));
    proxy.check()?;
    Ok(values)
}

/// A round of requests of h2load, 100 at a time on one connection.
pub(crate) fn streams(bench: &Bench, proxy: &mut Proxy, path: &str) -> Result<Values> {
    let mut values = Values::new();
    let (done, cpu, peak) = round(bench, proxy, |seconds| {
        let duration = format!("--duration={seconds}");
        let one = ["--clients", "1", "--max-concurrent-streams", STREAMS, &duration];
        h2load(bench, proxy.url(path), seconds, &one)
    })?;
    common(&mut values, &done, peak);
    values.insert(Measure::Cpu, cpu * 1e6 / float(done.requests));
    proxy.check()?;
    Ok(values)
}

/// A round of requests of h2load over HTTP/1.1, each on a connection of its own, a thousand a second. Not of wrk, which resumes
/// sessions.
pub(crate) fn handshakes(bench: &Bench, proxy: &mut Proxy, path: &str) -> Result<Values> {
    let mut values = Values::new();
    let (done, cpu, peak) = round(bench, proxy, |seconds| {
        let count = (seconds * HANDSHAKES).to_string();
        let new = ["--h1", "--clients", &count, "--requests", &count, "--rate", RATE, "--rate-period", PERIOD];
        h2load(bench, proxy.url(path), seconds, &new)
    })?;
    values.insert(Measure::CpuOfHandshake, cpu * 1e6 / float(done.requests));
    values.insert(Measure::Handshakes, float(done.requests) / cpu);
    values.insert(Measure::Peak, mebibytes(peak));
    proxy.check()?;
    Ok(values)
}

/// A body of so many bytes, and how long it took.
pub(crate) fn download(proxy: &mut Proxy, path: &str, bytes: u64) -> Result<Values> {
    proxy.tree.reset_peak()?;
    let (before, start) = (proxy.tree.cpu()?, Instant::now());
    read_body(proxy.address, path, bytes)?;
    let (took, cpu) = (start.elapsed(), proxy.tree.cpu()? - before);
    let peak = proxy.tree.peak()?;
    proxy.check()?;
    let mut values = Values::new();
    values.insert(Measure::Throughput, mebibytes(bytes) / took.as_secs_f64());
    values.insert(Measure::CpuOfGib, cpu * 1024.0 / mebibytes(bytes));
    values.insert(Measure::Peak, mebibytes(peak));
    Ok(values)
}

pub(crate) fn mebibytes(bytes: u64) -> f64 {
    float(bytes) / f64::from(1 << 20)
}

fn common(values: &mut Values, done: &Done, peak: u64) {
    values.insert(Measure::Rate, rate(done));
    values.insert(Measure::P50, float(done.p50));
    values.insert(Measure::P99, float(done.p99));
    values.insert(Measure::P999, float(done.p999));
    values.insert(Measure::Peak, mebibytes(peak));
}

fn rate(done: &Done) -> f64 {
    float(done.requests) * 1e6 / float(done.micros)
}

/// Load to warm up with, then load that counts; with the proxy's seconds of processor and bytes of memory in it.
fn round(bench: &Bench, proxy: &Proxy, load: impl Fn(u64) -> Result<Done>) -> Result<(Done, f64, u64)> {
    load(WARM_UP)?;
    proxy.tree.reset_peak()?;
    let before = proxy.tree.cpu()?;
    let done = load(bench.round().as_secs())?;
    Ok((done, proxy.tree.cpu()? - before, proxy.tree.peak()?))
}

fn wrk(bench: &Bench, url: String, seconds: u64) -> Result<Done> {
    let script = bench.run.join("report.lua");
    fs::write(&script, SCRIPT)?;
    let mut wrk = command("wrk");
    wrk.args(["--threads", "1", "--connections", CONNECTIONS, "--duration", &format!("{seconds}s"), "--latency", "--script"]);
    wrk.arg(script);
    for field in FIELDS.iter().chain([&HOST]) {
        wrk.args(["--header", field]);
    }
    of_wrk(&output(wrk.arg(url))?)
}

fn of_wrk(said: &str) -> Result<Done> {
    let line = said.lines().rev().find(|line| line.starts_with('{')).context("wrk told no numbers")?;
    let told: Value = serde_json::from_str(line).context("wrk told no JSON")?;
    let number = |name: &str| told.get(name).and_then(Value::as_u64).with_context(|| format!("wrk told no {name}"));
    ensure!(number("failed")? == 0, "{} requests failed, of {}", number("failed")?, number("requests")?);
    ensure!(number("requests")? > 0, "not one request was answered");
    Ok(Done {
        requests: number("requests")?,
        micros: number("us")?,
        p50: number("p50")?,
        p99: number("p99")?,
        p999: number("p999")?,
    })
}

fn h2load(bench: &Bench, url: String, seconds: u64, arguments: &[&str]) -> Result<Done> {
    let log = bench.run.join("h2load.log");
    // It adds to what is there.
    if log.exists() {
        fs::remove_file(&log)?;
    }
    let mut load = command("h2load");
    load.args(["--threads", "1"]).args(arguments).arg(format!("--log-file={}", log.display()));
    for field in FIELDS.iter().chain([&AUTHORITY]) {
        load.args(["--header", field]);
    }
    let said = output(load.arg(url))?;
    let times = fs::read_to_string(&log).with_context(|| format!("h2load left no {}", log.display()))?;
    of_h2load(&said, &times, seconds * 1_000_000)
}

/// What it said, and its log: start, status and microseconds of each request.
fn of_h2load(said: &str, log: &str, micros: u64) -> Result<Done> {
    let line =
        |name: &str| said.lines().find_map(|line| line.strip_prefix(name)).with_context(|| format!("h2load told no {name:?}"));
    let count = |line: &str, what: &str| -> Result<u64> {
        let part = line.split(',').map(str::trim).find_map(|part| part.strip_suffix(what)).map(str::trim);
        part.and_then(|number| number.parse().ok()).with_context(|| format!("h2load told no number of {what}: {line}"))
    };
    let requests = line("requests:")?;
    let done = count(requests, "done")?;
    let bad = count(requests, "failed")? + count(requests, "errored")? + count(requests, "timeout")?;
    let good = count(line("status codes:")?, "2xx")?;
    ensure!(bad == 0 && good == done, "{bad} requests failed, and {good} of {done} were answered with 2xx");
    ensure!(done > 0, "not one request was answered");
    let mut times = Vec::new();
    for line in log.lines() {
        let time = line.split('\t').nth(2).and_then(|time| time.parse::<u64>().ok());
        times.push(time.with_context(|| format!("the log of h2load has a line without a time: {line:?}"))?);
    }
    times.sort_unstable();
    let at = |share| percentile(&times, share).context("the log of h2load is empty");
    Ok(Done { requests: done, micros, p50: at(0.5)?, p99: at(0.99)?, p999: at(0.999)? })
}

/// Reads an answer to its end and counts. In chunks, there have to be at least so many bytes, and their end.
fn read_body(address: SocketAddr, path: &str, bytes: u64) -> Result<()> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: matrix.example.org\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let mut buffer = vec![0; PIECE];
    let mut head = Vec::new();
    let end = loop {
        let count = stream.read(&mut buffer)?;
        ensure!(count > 0, "the answer ends before its head");
        head.extend(buffer.iter().take(count));
        if let Some(end) = head.windows(4).position(|window| window == b"\r\n\r\n") {
            break end;
        }
        ensure!(head.len() < PIECE, "the head does not end");
    };
    let mut tail = head.split_off(end + 4);
    let head = String::from_utf8_lossy(&head).to_ascii_lowercase();
    ensure!(head.starts_with("http/1.1 200 "), "{}", head.lines().next().unwrap_or_default());
    let mut all = tail.len() as u64;
    loop {
        match stream.read(&mut buffer)? {
            0 => break,
            count => {
                all += count as u64;
                if count < 5 {
                    tail.extend(buffer.iter().take(count));
                } else {
                    tail.clear();
                    tail.extend(buffer.iter().take(count).skip(count - 5));
                }
            }
        }
    }
    if head.contains("transfer-encoding: chunked") {
        ensure!(all > bytes && tail.ends_with(b"0\r\n\r\n"), "{all} bytes in chunks, of {bytes}, and no end");
    } else if all != bytes {
        bail!("{all} bytes of a body, not {bytes}");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::{net::TcpListener, thread};

    use super::*;

    #[test]
    fn wrk_is_understood() {
        let said = "Running 2s test\n  84731 requests in 2.03s\n\n{\"requests\":84731,\"us\":2031240,\"failed\":0,\"p50\":375,\"p99\":9118,\"p999\":14749}\n";
        let done = of_wrk(said).expect("numbers");
        assert_eq!(done, Done { requests: 84731, micros: 2_031_240, p50: 375, p99: 9118, p999: 14749 });
        let failed = of_wrk(&said.replace("\"failed\":0", "\"failed\":3")).expect_err("a round with errors");
        assert_eq!(failed.to_string(), "3 requests failed, of 84731");
        assert!(of_wrk(&said.replace("84731", "0")).is_err());
        assert_eq!(of_wrk("Running").expect_err("nothing").to_string(), "wrk told no numbers");
    }

    #[test]
    fn h2load_is_understood() {
        let said = "finished in 2.01s, 1.50 req/s, 50.46MB/s\n\
            requests: 3 total, 4 started, 3 done, 3 succeeded, 0 failed, 0 errored, 0 timeout\n\
            status codes: 3 2xx, 0 3xx, 0 4xx, 0 5xx\n";
        let log = "1795317926641446\t200\t3950\n1795317926645430\t200\t71\n1795317926645503\t200\t15\n";
        let done = of_h2load(said, log, 2_000_000).expect("numbers");
        assert_eq!(done, Done { requests: 3, micros: 2_000_000, p50: 71, p99: 3950, p999: 3950 });
        assert!(of_h2load(&said.replace("0 errored", "1 errored"), log, 1).is_err());
        assert!(of_h2load(&said.replace("3 2xx, 0 3xx", "2 2xx, 1 3xx"), log, 1).is_err());
        assert!(of_h2load(said, "", 1).is_err() && of_h2load(said, "1\t200\n", 1).is_err() && of_h2load("", log, 1).is_err());
    }

    fn answered(answer: &'static str, bytes: u64) -> Result<()> {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("its address");
        let server = thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("a client");
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                stream.read_exact(&mut byte).expect("a request");
                request.extend(byte);
            }
            // Who has seen enough may leave before the end.
            let _ = answer.as_bytes().chunks(7).try_for_each(|part| stream.write_all(part));
        });
        let read = read_body(address, "/", bytes);
        server.join().expect("a server");
        read
    }

    #[test]
    fn bodies_are_read_to_their_end() {
        let plain = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n0123456789";
        answered(plain, 10).expect("all of it");
        assert_eq!(answered(plain, 11).expect_err("cut").to_string(), "10 bytes of a body, not 11");
        let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\na\r\n0123456789\r\n0\r\n\r\n";
        answered(chunked, 10).expect("all of it");
        assert!(answered(chunked.trim_end(), 10).is_err());
        assert!(answered("HTTP/1.1 503 No\r\n\r\n0123456789", 10).is_err());
    }
}
