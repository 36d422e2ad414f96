//! What is done to the server meanwhile: killed, stopped, held up, with a disk that is full or fails, with other keys.
//!
//! Owns the process from its start to its end, and says where it is. What can be done depends on what is installed:
//! without Debian's fiu-utils the disk gives no errors but that it is full.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::thread::sleep;
use std::time::{Duration, Instant};

use fastrand::Rng;
use rustix::process::Signal;
use tokio::sync::watch;

use super::desk::{Desk, Place};
use super::record::Event;
use crate::program::{Door, Program, command, command_on_a_bad_disk, disk_can_fail};

/// Whoever does something to the servers of a history.
pub(super) trait Torments: Send + Sized + 'static {
    /// For how long a node may not know what another one has acknowledged.
    fn bound(&self) -> Duration;
    /// Does one thing after the other until then. What is there at the end is whole.
    fn rage(self, desk: &Arc<Desk>, until: Instant) -> Self;
    /// Where a server is called, while nothing is done to it.
    fn door(&self) -> Door;
    /// How often each thing was done.
    fn acts(&self) -> BTreeMap<&'static str, usize>;
    /// Ends it in order.
    fn stop(self);
}

/// One server, with a store of its own.
pub(super) struct Nemesis {
    folder: PathBuf,
    program: Program,
    place: watch::Sender<Place>,
    rng: Rng,
    acts: BTreeMap<&'static str, usize>,
}

/// Starts the program on the folder, so that its disk can be full and, where that is possible, give errors.
fn start(folder: &Path) -> Program {
    let mut command = command_on_a_bad_disk(folder);
    // As cheap as a password hash may be.
    command.args(["--hash-memory", "7MiB", "--hash-passes", "5"]);
    Program::start_by(command, folder)
}

impl Nemesis {
    pub(super) fn start(folder: &Path, seed: u64) -> (Self, Vec<watch::Receiver<Place>>) {
        let program = start(folder);
        let (place, places) = watch::channel(Some(program.base.clone()));
        let rng = Rng::with_seed(seed);
        (Self { folder: folder.to_owned(), program, place, rng, acts: BTreeMap::new() }, vec![places])
    }

    fn wait(&mut self, least: u64, most: u64) {
        sleep(Duration::from_millis(self.rng.u64(least..most)));
    }

    /// Ends the process, and starts the next one, on the second or third attempt perhaps.
    fn again(mut self, desk: &Desk, end: impl FnOnce(Program)) -> Self {
        end(self.program);
        self.place.send_replace(None);
        desk.see(&Event::Died { node: 0 });
        for _ in 0..self.rng.u8(..3) {
            let mut process = command(&self.folder);
            let mut process =
                process.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null()).spawn().unwrap();
            sleep(Duration::from_micros(self.rng.u64(..60_000)));
            process.kill().unwrap();
            process.wait().unwrap();
        }
        self.program = start(&self.folder);
        self.place.send_replace(Some(self.program.base.clone()));
        self
    }
}

impl Torments for Nemesis {
    fn bound(&self) -> Duration {
        Duration::ZERO
    }

    /// At the end the server is one that was killed and started again.
    fn rage(mut self, desk: &Arc<Desk>, until: Instant) -> Self {
        while Instant::now() < until {
            self.wait(100, 1_200);
            let what = match self.rng.u8(..100) {
                0..35 => "killed",
                35..47 => "stopped in order",
                47..62 => "held up",
                62..70 => "given another key",
                70..85 => "left without room on its disk",
                _ if disk_can_fail() => "given errors by its disk",
                _ => "killed",
            };
            desk.see(&Event::Act { what: what.to_owned() });
            *self.acts.entry(what).or_default() += 1;
            match what {
                "killed" => self = self.again(desk, Program::kill),
                "stopped in order" => self = self.again(desk, Program::stop),
                "held up" => {
                    self.program.signal(Signal::STOP);
                    self.wait(50, 2_500);
                    self.program.signal(Signal::CONT);
                }
                "given another key" => {
                    let mut generate = Command::new(env!("CARGO_BIN_EXE_signet"));
                    generate.env_clear().args(["keys", "generate", "--keys"]).arg(self.folder.join("keys"));
                    assert!(generate.output().unwrap().status.success());
                    self.program.signal(Signal::HUP);
                }
                "left without room on its disk" => {
                    self.program.room(Some(0));
                    self.wait(50, 800);
                    self.program.room(None);
                }
                _ => {
                    let points = ["posix/io/sync/fdatasync", "posix/io/rw/pwrite"];
                    let point = points[self.rng.usize(..points.len())];
                    self.program.tell_disk(&self.folder, &format!("enable name={point},failinfo=5"));
                    self.wait(50, 800);
                    self.program.tell_disk(&self.folder, &format!("disable name={point}"));
                }
            }
        }
        self.again(desk, Program::kill)
    }

    fn door(&self) -> Door {
        self.program.door()
    }

    fn acts(&self) -> BTreeMap<&'static str, usize> {
        self.acts.clone()
    }

    fn stop(self) {
        self.program.stop();
    }
}
