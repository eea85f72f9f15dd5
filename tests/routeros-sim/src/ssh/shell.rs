//! The interactive shell, for a person: banner, prompt, menus to walk through. Machines use exec channels.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use russh::ChannelId;
use russh::server::Handle;
use tokio::runtime::Handle as Runtime;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::editor::{Editor, Typed};
use crate::World;
use crate::execution::{End, Execution};
use crate::menu::spec;

/// What a person sees first (I: the picture is ours, the rest as RouterOS has it).
const BANNER: &str = "\r\n  RouterOS (simulated)   no data here is worth anything\r\n\r\n";

/// A shell on one channel.
pub(super) struct Shell {
    keys: mpsc::UnboundedSender<Vec<u8>>,
    width: Arc<AtomicUsize>,
}

impl Shell {
    pub(super) fn start(
        world: &Arc<World>,
        cut: &CancellationToken,
        handle: Handle,
        channel: ChannelId,
        user: String,
        width: usize,
    ) -> Self {
        let (keys, typed) = mpsc::unbounded_channel();
        let width = Arc::new(AtomicUsize::new(width));
        let terminal = Terminal {
            world: Arc::clone(world),
            cut: cut.clone(),
            handle,
            channel,
            user,
            width: Arc::clone(&width),
            menu: Vec::new(),
        };
        tokio::spawn(terminal.run(typed));
        Self { keys, width }
    }

    pub(super) fn typed(&self, bytes: &[u8]) {
        // A shell that has ended reads no more.
        let _ = self.keys.send(bytes.to_vec());
    }

    pub(super) fn resize(&self, width: usize) {
        self.width.store(width, Ordering::SeqCst);
    }
}

struct Terminal {
    world: Arc<World>,
    cut: CancellationToken,
    handle: Handle,
    channel: ChannelId,
    user: String,
    width: Arc<AtomicUsize>,
    menu: Vec<String>,
}

impl Terminal {
    async fn run(mut self, mut typed: mpsc::UnboundedReceiver<Vec<u8>>) {
        let mut editor = Editor::default();
        self.say(BANNER).await;
        self.prompt("").await;
        'open: while let Some(bytes) = typed.recv().await {
            for byte in bytes {
                match editor.key(byte) {
                    None => {}
                    Some(Typed::Echo(echo)) => self.say(echo).await,
                    Some(Typed::Interrupt) => {
                        self.say("\r\n").await;
                        self.prompt("").await;
                    }
                    Some(Typed::End) => break 'open,
                    Some(Typed::Help) => {
                        self.say(help(&self.menu)).await;
                        self.prompt(&editor.line()).await;
                    }
                    Some(Typed::Line(line)) => {
                        self.say("\r\n").await;
                        if !self.line(line.trim()).await {
                            break 'open;
                        }
                        self.prompt("").await;
                    }
                }
            }
        }
        // The client may be gone already.
        let _ = self.handle.exit_status_request(self.channel, 0).await;
        let _ = self.handle.eof(self.channel).await;
        let _ = self.handle.close(self.channel).await;
    }

    async fn say(&self, bytes: impl Into<Vec<u8>>) {
        let _ = self.handle.data(self.channel, bytes.into()).await;
    }

    async fn prompt(&self, line: &str) {
        let identity = self.world.appliance().identity.clone();
        let menu = if self.menu.is_empty() { String::new() } else { format!("/{}", self.menu.join("/")) };
        self.say(format!("[{}@{identity}] {menu}> {line}", self.user)).await;
    }

    /// False when the shell is to end.
    async fn line(&mut self, line: &str) -> bool {
        if line.is_empty() {
            return true;
        }
        if matches!(line, "quit" | "/quit") {
            return false;
        }
        if let Some(menu) = walk(&self.menu, line) {
            self.menu = menu;
            return true;
        }
        let running = Arc::clone(&self.world);
        let _running = running.running.read().await;
        let (world, cut, command) = (Arc::clone(&self.world), self.cut.clone(), line.to_owned());
        let (width, menu) = (self.width.load(Ordering::SeqCst), self.menu.clone());
        let ran = tokio::task::spawn_blocking(move || {
            Execution::for_user(&world, Runtime::current(), cut).on_terminal(width, menu).run(&command)
        });
        let Ok(ran) = ran.await else { return false };
        self.say(ran.output).await;
        ran.end != End::Stopped
    }
}

/// Where `disk`, `/disk btrfs`, `..` and `/` lead; `None` when the line is a command.
fn walk(menu: &[String], line: &str) -> Option<Vec<String>> {
    let mut there = if line.starts_with('/') { Vec::new() } else { menu.to_vec() };
    for word in line.split(['/', ' ']).filter(|word| !word.is_empty()) {
        if word == ".." {
            there.pop();
            continue;
        }
        there.push(word.to_owned());
        if !spec::is_menu(&there) {
            return None;
        }
    }
    Some(there)
}

/// A few words for `?`.
fn help(menu: &[String]) -> String {
    let mut text = "\r\n".to_owned();
    for word in spec::offers(menu) {
        text.push_str(&format!("{word}\r\n"));
    }
    text + "..  /  quit\r\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn menus_are_walked_and_commands_are_not() {
        let menu = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        assert_eq!(walk(&[], "/disk"), Some(menu(&["disk"])));
        assert_eq!(walk(&menu(&["disk"]), "btrfs/subvolume"), Some(menu(&["disk", "btrfs", "subvolume"])));
        assert_eq!(walk(&menu(&["disk", "btrfs"]), ".."), Some(menu(&["disk"])));
        assert_eq!(walk(&menu(&["disk"]), "/"), Some(menu(&[])));
        assert_eq!(walk(&menu(&["disk"]), "print"), None);
        assert_eq!(walk(&[], "/disk/print"), None);
        assert!(help(&menu(&["disk"])).contains("monitor-traffic"));
    }
}
