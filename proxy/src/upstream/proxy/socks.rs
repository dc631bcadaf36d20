//! SOCKS 5 (RFC 1928), with user and password (RFC 1929).

use std::net::IpAddr;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use super::{Credentials, ProxyError};
use crate::{http::Origin, targets::Target};

const VERSION: u8 = 5;
/// Of what user and password are sent in.
const CREDENTIALS_VERSION: u8 = 1;
const NOTHING: u8 = 0;
const USER_AND_PASSWORD: u8 = 2;
const CONNECT: u8 = 1;
const IPV4: u8 = 1;
const NAME: u8 = 3;
const IPV6: u8 = 4;

/// Why a proxy made no connection (RFC 1928, 6).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Reply {
    /// 1, and whatever has no meaning.
    #[error("a failure of its own ({0})")]
    Failure(u8),
    /// 2.
    #[error("its rules do not allow it")]
    Forbidden,
    /// 3.
    #[error("the network cannot be reached")]
    Network,
    /// 4; also where a name has no address.
    #[error("the host cannot be reached")]
    Host,
    /// 5.
    #[error("the host refused the connection")]
    Refused,
    /// 6.
    #[error("it took too long")]
    Expired,
    /// 7 and 8.
    #[error("it does not know what it was asked for")]
    Unsupported,
}

/// Has everything from now on go to the target, whose name the proxy looks up. Nothing that comes from there is taken.
pub(super) async fn connect(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    target: &Origin,
    credentials: Option<&Credentials>,
) -> Result<(), ProxyError> {
    let methods: &[u8] = if credentials.is_some() { &[VERSION, 2, NOTHING, USER_AND_PASSWORD] } else { &[VERSION, 1, NOTHING] };
    send(stream, methods).await?;
    match (read(stream).await?, credentials) {
        ([VERSION, NOTHING], _) => {}
        ([VERSION, USER_AND_PASSWORD], Some(credentials)) => introduce(stream, credentials).await?,
        ([VERSION, 0xff], _) => return Err(ProxyError::Credentials),
        ([VERSION, _], _) => return Err(ProxyError::Malformed("it chose what it was not offered")),
        _ => return Err(ProxyError::Malformed("its answer is not SOCKS 5")),
    }
    send(stream, &request(target)?).await?;
    let [version, reply, _, kind] = read(stream).await?;
    if version != VERSION {
        return Err(ProxyError::Malformed("its answer is not SOCKS 5"));
    }
    if reply != 0 {
        return Err(ProxyError::Reply(Reply::from(reply)));
    }
    // The address that it connected from, and the port: nobody's business here.
    let address = match kind {
        IPV4 => 4,
        IPV6 => 16,
        NAME => {
            let [length] = read(stream).await?;
            usize::from(length)
        }
        _ => return Err(ProxyError::Malformed("its answer has an address of no kind")),
    };
    let mut rest = vec![0; address + 2];
    stream.read_exact(&mut rest).await.map_err(ProxyError::Closed)?;
    Ok(())
}

async fn introduce(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    Credentials { user, password }: &Credentials,
) -> Result<(), ProxyError> {
    let mut message = vec![CREDENTIALS_VERSION];
    push(&mut message, user.as_bytes())?;
    push(&mut message, password.as_bytes())?;
    send(stream, &message).await?;
    match read(stream).await? {
        [CREDENTIALS_VERSION, 0] => Ok(()),
        [CREDENTIALS_VERSION, _] => Err(ProxyError::Credentials),
        _ => Err(ProxyError::Malformed("its answer to the credentials is none")),
    }
}

fn request(target: &Origin) -> Result<Vec<u8>, ProxyError> {
    let mut request = vec![VERSION, CONNECT, 0];
    let target = Target::spelled(target);
    let host = target.authority.bare_host();
    match host.parse() {
        Ok(IpAddr::V4(address)) => {
            request.push(IPV4);
            request.extend_from_slice(&address.octets());
        }
        Ok(IpAddr::V6(address)) => {
            request.push(IPV6);
            request.extend_from_slice(&address.octets());
        }
        Err(_) => {
            request.push(NAME);
            push(&mut request, host.as_bytes())?;
        }
    }
    request.extend_from_slice(&target.port().to_be_bytes());
    Ok(request)
}

/// A text with its length before it.
fn push(message: &mut Vec<u8>, text: &[u8]) -> Result<(), ProxyError> {
    message.push(u8::try_from(text.len()).map_err(|_| ProxyError::Malformed("a name is longer than SOCKS knows"))?);
    message.extend_from_slice(text);
    Ok(())
}

async fn send(stream: &mut (impl AsyncWrite + Unpin), bytes: &[u8]) -> Result<(), ProxyError> {
    stream.write_all(bytes).await.map_err(ProxyError::Closed)?;
    stream.flush().await.map_err(ProxyError::Closed)
}

async fn read<const N: usize>(stream: &mut (impl AsyncRead + Unpin)) -> Result<[u8; N], ProxyError> {
    let mut bytes = [0; N];
    stream.read_exact(&mut bytes).await.map_err(ProxyError::Closed)?;
    Ok(bytes)
}

impl From<u8> for Reply {
    fn from(reply: u8) -> Self {
        match reply {
            2 => Self::Forbidden,
            3 => Self::Network,
            4 => Self::Host,
            5 => Self::Refused,
            6 => Self::Expired,
            7 | 8 => Self::Unsupported,
            other => Self::Failure(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::duplex;

    use super::*;

    /// What the proxy is sent in all, what was made of its bytes, and what is left of them.
    async fn asked(target: &str, is_known: bool, answer: &[u8]) -> (Vec<u8>, Result<(), ProxyError>, Vec<u8>) {
        let (mut near, mut far) = duplex(4096);
        far.write_all(answer).await.expect("room");
        far.shutdown().await.expect("an end");
        let credentials = Credentials { user: "u".into(), password: "pw".into() };
        let made = connect(&mut near, &target.parse().expect(target), is_known.then_some(&credentials)).await;
        let mut rest = Vec::new();
        near.read_to_end(&mut rest).await.expect("an end");
        drop(near);
        let mut sent = Vec::new();
        far.read_to_end(&mut sent).await.expect("an end");
        (sent, made, rest)
    }

    #[tokio::test]
    async fn names_are_given_to_the_proxy() {
        for (target, kind, address) in [
            ("https://a.test", NAME, b"\x06a.test\x01\xbb".to_vec()),
            ("http://10.0.0.7:81", IPV4, vec![10, 0, 0, 7, 0, 81]),
            ("http://012.0x7:81", IPV4, vec![10, 0, 0, 7, 0, 81]),
            ("http://[::1]", IPV6, [&[0; 15][..], &[1, 0, 80]].concat()),
        ] {
            let (sent, made, rest) = asked(target, false, b"\x05\x00\x05\x00\x00\x03\x01x\x00\x50tls").await;
            assert_eq!(sent, [&[5, 1, 0, 5, 1, 0, kind], address.as_slice()].concat(), "{target}");
            assert!(made.is_ok() && rest == b"tls", "{made:?} {rest:?}");
        }
    }

    #[tokio::test]
    async fn credentials_are_sent_where_they_are_wanted() {
        let (sent, made, _) = asked("http://a", true, b"\x05\x02\x01\x00\x05\x00\x00\x01abcd\x00\x50").await;
        assert!(made.is_ok() && sent.starts_with(b"\x05\x02\x00\x02\x01\x01u\x02pw\x05\x01\x00\x03\x01a\x00\x50"), "{sent:?}");
        let (sent, made, _) = asked("http://a", true, b"\x05\x00\x05\x00\x00\x01abcd\x00\x50").await;
        assert!(made.is_ok() && !sent.windows(2).any(|pair| pair == b"pw"), "{sent:?}");
    }

    #[tokio::test]
    async fn answers_are_read_with_care() {
        for (is_known, answer, expected) in [
            (false, &b"\x05\xff"[..], "credentials"),
            (true, b"\x05\x02\x01\x01", "credentials"),
            (true, b"\x05\x02\x05\x00", "to the credentials"),
            (false, b"\x05\x02", "was not offered"),
            (false, b"\x04\x00", "not SOCKS 5"),
            (false, b"HTTP/1.1 400", "not SOCKS 5"),
            (false, b"\x05\x00\x04\x00\x00\x01", "not SOCKS 5"),
            (false, b"\x05\x00\x05\x00\x00\x02", "of no kind"),
            (false, b"\x05\x00\x05\x01\x00\x01", "of its own (1)"),
            (false, b"\x05\x00\x05\x02\x00\x01", "rules"),
            (false, b"\x05\x00\x05\x03\x00\x01", "network"),
            (false, b"\x05\x00\x05\x04\x00\x01", "host cannot"),
            (false, b"\x05\x00\x05\x05\x00\x01", "host refused"),
            (false, b"\x05\x00\x05\x06\x00\x01", "too long"),
            (false, b"\x05\x00\x05\x08\x00\x01", "does not know"),
            (false, b"\x05\x00\x05\x09\x00\x01", "of its own (9)"),
            (false, b"\x05", "closed"),
            (false, b"\x05\x00\x05\x00\x00\x03\xffabc", "closed"),
        ] {
            let text = asked("http://a", is_known, answer).await.1.expect_err("a failure").to_string();
            assert!(text.contains(expected), "{expected}: {text}");
        }
    }
}
