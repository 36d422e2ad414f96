//! Connections without end, and HTTP/2 that asks for more than it takes: others are served all the while.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use tempfile::TempDir;

use crate::program::{PATIENCE, Program, command};

/// The fewest that may be asked for.
const FEWEST: usize = 16;

const ASK: &[u8] = b"GET /v1/session HTTP/1.1\r\nhost: x\r\n\r\n";

fn program(folder: &TempDir) -> Program {
    let mut command = command(folder.path());
    command.args(["--max-connections", &FEWEST.to_string()]);
    Program::start_by(command, folder.path())
}

fn connect(program: &Program) -> TcpStream {
    let stream = TcpStream::connect(&program.address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// The status of one answer, which is read to its end.
fn answer(stream: &mut TcpStream) -> Option<u16> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).ok()?;
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).unwrap().to_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).map_or(0, |n| n.parse().unwrap());
    stream.read_exact(&mut vec![0; length]).ok()?;
    head.split(' ').nth(1)?.parse().ok()
}

fn ask(stream: &mut TcpStream) -> Option<u16> {
    stream.write_all(ASK).ok()?;
    answer(stream)
}

#[test]
fn who_only_holds_connections_open_displaces_nobody_who_asks() {
    let folder = TempDir::new().unwrap();
    let program = program(&folder);
    // One that asks now and then, and one in the middle of a request, which is in use for as long as that takes.
    let (mut asking, mut sending) = (connect(&program), connect(&program));
    let body = br#"{"username":"nobody","password":"correct horse 9"}"#;
    let head = format!(
        "POST /v1/login HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    sending.write_all(head.as_bytes()).unwrap();
    sending.write_all(&body[..5]).unwrap();
    let mut held: Vec<TcpStream> = Vec::new();
    for count in 0..FEWEST * 5 {
        held.push(connect(&program));
        assert_eq!(ask(&mut asking), Some(200), "beside {count} that are silent");
    }
    let mut newcomer = connect(&program);
    assert_eq!(ask(&mut newcomer), Some(200));
    sending.write_all(&body[5..]).unwrap();
    assert_eq!(answer(&mut sending), Some(401));
    // Those that were silent for longest had to go.
    let gone = |stream: &mut TcpStream| stream.read(&mut [0]).is_ok_and(|count| count == 0);
    for stream in &mut held[..FEWEST * 5 - FEWEST] {
        assert!(gone(stream));
    }
    let last = held.last_mut().unwrap();
    assert_eq!(ask(last), Some(200), "the latest is there still");
    let log = fs::read_to_string(folder.path().join("log")).unwrap();
    assert_eq!(log.matches("as many connections as may be").count(), 1, "said once, not for each: {log}");
    drop((asking, newcomer, sending, held));
    program.stop();
}

#[test]
fn a_newcomer_waits_while_every_connection_is_in_use() {
    let folder = TempDir::new().unwrap();
    let program = program(&folder);
    let mut busy: Vec<TcpStream> = (0..FEWEST).map(|_| connect(&program)).collect();
    let head = b"POST /v1/login HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\
        expect: 100-continue\r\n\r\n";
    for stream in &mut busy {
        stream.write_all(head).unwrap();
    }
    // All of them are in the middle of a request before the next one comes.
    for stream in &mut busy {
        let mut go_on = [0; 25];
        stream.read_exact(&mut go_on).unwrap();
        assert_eq!(&go_on, b"HTTP/1.1 100 Continue\r\n\r\n");
        stream.write_all(b"{").unwrap();
    }
    let mut newcomer = connect(&program);
    newcomer.write_all(ASK).unwrap();
    newcomer.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    assert!(newcomer.read(&mut [0]).is_err(), "there is no place");
    newcomer.set_read_timeout(Some(PATIENCE)).unwrap();
    busy[0].write_all(b"}").unwrap();
    assert_eq!(answer(&mut busy[0]), Some(422));
    drop(busy);
    assert_eq!(answer(&mut newcomer), Some(200));
    drop(newcomer);
    program.stop();
}

/// Frames of HTTP/2 (RFC 9113, section 4.1), by hand: a library would not do what is tried here.
mod frames {
    use std::io::{ErrorKind, Read as _};
    use std::net::TcpStream;

    pub(super) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
    pub(super) const HEADERS: u8 = 1;
    pub(super) const RST_STREAM: u8 = 3;
    pub(super) const SETTINGS: u8 = 4;
    pub(super) const GO_AWAY: u8 = 7;
    pub(super) const CONTINUATION: u8 = 9;
    pub(super) const END_STREAM: u8 = 1;
    pub(super) const END_HEADERS: u8 = 4;

    pub(super) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
        [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
    }

    /// The next frame: its kind and its payload. `None` at the end of the connection.
    pub(super) fn next(stream: &mut TcpStream) -> Option<(u8, Vec<u8>)> {
        let head = read(stream, 9)?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        Some((head[3], read(stream, length as usize)?))
    }

    fn read(stream: &mut TcpStream, count: usize) -> Option<Vec<u8>> {
        let mut bytes = vec![0; count];
        match stream.read_exact(&mut bytes) {
            Ok(()) => Some(bytes),
            Err(why) if why.kind() == ErrorKind::WouldBlock => panic!("the connection stays open"),
            Err(_) => None,
        }
    }

    /// `GET /v1/session` in HPACK (RFC 7541): of the static table, and one literal that is not remembered.
    pub(super) fn ask() -> Vec<u8> {
        let path = b"/v1/session";
        let length = u8::try_from(path.len()).unwrap();
        [&[0x82, 0x86, 0x04, length], &path[..], &[0x01, 1, b'x']].concat()
    }
}

/// Why the connection was ended (RFC 9113, section 7), when it was told.
fn go_away(stream: &mut TcpStream) -> Option<u32> {
    while let Some((kind, payload)) = frames::next(stream) {
        if kind == frames::GO_AWAY {
            return Some(u32::from_be_bytes(payload[4..8].try_into().unwrap()));
        }
    }
    None
}

#[test]
fn http2_says_what_it_takes_and_ends_with_whoever_takes_back_what_was_asked() {
    const ENHANCE_YOUR_CALM: u32 = 11;
    let folder = TempDir::new().unwrap();
    let program = program(&folder);
    let mut stream = connect(&program);
    stream.write_all(frames::PREFACE).unwrap();
    let (kind, payload) = frames::next(&mut stream).unwrap();
    assert_eq!(kind, frames::SETTINGS);
    let setting = |wanted: u16| {
        let found = payload.chunks(6).find(|entry| entry[..2] == wanted.to_be_bytes());
        found.map(|entry| u32::from_be_bytes(entry[2..].try_into().unwrap()))
    };
    assert_eq!((setting(3), setting(6)), (Some(128), Some(48 * 1024)), "streams at once, and a header's size");
    let ask = |id| frames::frame(frames::HEADERS, frames::END_STREAM | frames::END_HEADERS, id, &frames::ask());
    stream.write_all(&ask(1)).unwrap();
    while frames::next(&mut stream).unwrap().0 != frames::HEADERS {}
    // "Rapid reset": each is taken back before it can be answered.
    let mut resets = Vec::new();
    for id in (3..20_000).step_by(2) {
        resets.extend(ask(id));
        resets.extend(frames::frame(frames::RST_STREAM, 0, id, &8u32.to_be_bytes()));
    }
    // It may be closed before all of it is written.
    drop(stream.write_all(&resets));
    assert!(matches!(go_away(&mut stream), None | Some(ENHANCE_YOUR_CALM)));
    // A header that never ends.
    let mut stream = connect(&program);
    stream.write_all(frames::PREFACE).unwrap();
    let mut endless = frames::frame(frames::HEADERS, frames::END_STREAM, 1, &frames::ask());
    for _ in 0..2_000 {
        endless.extend(frames::frame(
            frames::CONTINUATION,
            0,
            1,
            &[[0x00, 1, b'a', 100].as_slice(), &[b'b'; 100]].concat(),
        ));
    }
    drop(stream.write_all(&endless));
    assert!(matches!(go_away(&mut stream), None | Some(ENHANCE_YOUR_CALM)));
    // Others are served all the same.
    assert_eq!(ask_once(&program), Some(200));
    program.stop();
}

fn ask_once(program: &Program) -> Option<u16> {
    ask(&mut connect(program))
}
