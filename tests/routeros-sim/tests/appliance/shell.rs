//! The interactive shell, as a person types into it.

use std::time::Duration;

use routeros_sim::Growth;
use russh::ChannelMsg;
use russh::client::Msg;

use crate::client::{login, start};

struct Person {
    channel: russh::Channel<Msg>,
    seen: String,
}

impl Person {
    /// Types, then reads until `text` is there; gives what came since the last time.
    async fn types(&mut self, keys: &str, text: &str) -> String {
        self.channel.data(keys.as_bytes()).await.unwrap();
        let reading = async {
            while !self.seen.contains(text) {
                match self.channel.wait().await {
                    Some(ChannelMsg::Data { data }) => self.seen.push_str(&String::from_utf8_lossy(&data)),
                    Some(_) => {}
                    None => break,
                }
            }
        };
        let read = tokio::time::timeout(Duration::from_secs(10), reading).await;
        assert!(read.is_ok(), "{text:?} does not come: {:?}", self.seen);
        std::mem::take(&mut self.seen)
    }
}

#[tokio::test]
async fn a_person_walks_through_menus_and_sees_what_a_device_prints() {
    let (_folder, simulator, key) = start(Growth::Live).await;
    simulator.console("/disk/add type=file slot=v1 file-path=raid1/v1.img file-size=1048576");
    let session = login(&simulator, &key).await.unwrap();
    let channel = session.channel_open_session().await.unwrap();
    channel.request_pty(true, "xterm", 60, 24, 0, 0, &[]).await.unwrap();
    channel.request_shell(true).await.unwrap();
    let mut person = Person { channel, seen: String::new() };

    person.types("", "[csi@simulated-rds] > ").await;
    person.types("/disx\x7fk\r", "[csi@simulated-rds] /disk> ").await;
    let printed = person.types("print detail where slot=v1\r", "file-offset=0\r\n").await;
    assert!(printed.contains("\r\n 1 B  type=file") || printed.contains("\r\n 1 B type=file"), "{printed:?}");
    assert!(printed.lines().all(|line| line.chars().count() <= 80), "{printed:?}");
    let wide =
        printed.lines().filter(|line| line.starts_with("      ")).map(|line| line.chars().count()).max();
    assert!(wide.unwrap() <= 60, "it wraps where the terminal ends: {printed:?}");
    person.types("btrfs/subvolume\r", "/disk/btrfs/subvolume> ").await;
    person.types("..\r", "[csi@simulated-rds] /disk/btrfs> ").await;
    person.types("/\r", "[csi@simulated-rds] > ").await;
    assert!(person.types("?", "> ").await.contains("\r\ndisk\r\nfile\r\nsystem\r\n"));
    person.types(":put one\r", "\r\none\r\n[csi@simulated-rds] > ").await;
    let again = person.types("\x1b[A\r", "\r\none\r\n[csi@simulated-rds] > ").await;
    assert!(again.contains(":put one"), "{again:?}");
    person.types("half\x03", "> ").await;
    person.types("/disk/remove *99\r", "no such item\r\n").await;
    person.channel.data(&b"quit\r"[..]).await.unwrap();
    while person.channel.wait().await.is_some() {}
}
