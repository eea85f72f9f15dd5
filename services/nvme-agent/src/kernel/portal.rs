//! The storage portal's language: one TCP connection is one session, one line of JSON is one message. Development only.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use proto::size::ByteSize;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};

/// How long the portal may take to accept.
const DIAL_LIMIT: Duration = Duration::from_secs(3);

/// Who asks for what.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Hello {
    pub(crate) nqn: String,
    pub(crate) hostnqn: String,
    pub(crate) hostid: String,
}

#[derive(Serialize)]
#[serde(rename_all = "lowercase")]
enum Said<'a> {
    Connect(&'a Hello),
    Rescan(bool),
}

/// What the portal says.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Heard {
    Connected(Accepted),
    Refused(String),
    Size(u64),
}

/// An accepted session.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct Accepted {
    /// The file that holds the volume, on this machine.
    pub(crate) path: PathBuf,
    /// Its size in bytes.
    pub(crate) size: u64,
    /// Number of the namespace.
    pub(crate) nsid: u32,
}

/// Why there is no session.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum DialError {
    /// Nobody there.
    #[error("{0}")]
    Unreachable(String),
    /// It said no.
    #[error("refused: {0}")]
    Refused(String),
}

/// A session.
#[derive(Debug)]
pub(crate) struct Link {
    heard: Lines<BufReader<OwnedReadHalf>>,
    say: OwnedWriteHalf,
}

impl Link {
    /// Asks for a session.
    pub(crate) async fn dial(address: SocketAddr, hello: &Hello) -> Result<(Self, Accepted), DialError> {
        let lost = |error: std::io::Error| DialError::Unreachable(error.to_string());
        let talk = async {
            let stream = TcpStream::connect(address).await.map_err(lost)?;
            stream.set_nodelay(true).map_err(lost)?;
            let (read, say) = stream.into_split();
            let mut link = Self { heard: BufReader::new(read).lines(), say };
            link.write(&Said::Connect(hello)).await.map_err(lost)?;
            match link.read().await {
                Some(Heard::Connected(accepted)) => Ok((link, accepted)),
                Some(Heard::Refused(why)) => Err(DialError::Refused(why)),
                Some(Heard::Size(_)) | None => Err(DialError::Unreachable("it hung up".to_owned())),
            }
        };
        let late = || DialError::Unreachable("it does not answer".to_owned());
        tokio::time::timeout(DIAL_LIMIT, talk).await.unwrap_or_else(|_| Err(late()))
    }

    /// The next size the portal tells; `None` when the session is over.
    pub(crate) async fn size(&mut self) -> Option<ByteSize> {
        match self.read().await {
            Some(Heard::Size(bytes)) => Some(ByteSize::from_bytes(bytes)),
            Some(Heard::Connected(_) | Heard::Refused(_)) | None => None,
        }
    }

    /// Asks for the size; the answer comes through [`Self::size`].
    pub(crate) async fn rescan(&mut self) -> std::io::Result<()> {
        self.write(&Said::Rescan(true)).await
    }

    /// What is no message ends the session, like a closed connection.
    async fn read(&mut self) -> Option<Heard> {
        let line = self.heard.next_line().await.ok().flatten()?;
        serde_json::from_str(&line)
            .inspect_err(|error| tracing::warn!(%error, line, "storage portal said something unknown"))
            .ok()
    }

    async fn write(&mut self, said: &Said<'_>) -> std::io::Result<()> {
        let mut line = serde_json::to_vec(said)?;
        line.push(b'\n');
        self.say.write_all(&line).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_written_and_read_as_the_portal_wants_them() {
        let hello = Hello { nqn: "n".to_owned(), hostnqn: "h".to_owned(), hostid: "i".to_owned() };
        let text = |said| serde_json::to_string(&said).expect("text");
        assert_eq!(text(Said::Connect(&hello)), r#"{"connect":{"nqn":"n","hostnqn":"h","hostid":"i"}}"#);
        assert_eq!(text(Said::Rescan(true)), r#"{"rescan":true}"#);
        let read = |text: &str| serde_json::from_str::<Heard>(text).ok();
        let accepted = Accepted { path: "/v".into(), size: 5, nsid: 1 };
        assert_eq!(
            read(r#"{"connected":{"path":"/v","size":5,"nsid":1}}"#),
            Some(Heard::Connected(accepted))
        );
        assert_eq!(
            read(r#"{"refused":"host not allowed"}"#),
            Some(Heard::Refused("host not allowed".to_owned()))
        );
        assert_eq!(read(r#"{"size":7}"#), Some(Heard::Size(7)));
        assert_eq!(read("hello"), None);
    }
}
