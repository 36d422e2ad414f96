//! sled's file, read without sled: every message whose checksum holds, however much around it is damaged.
//!
//! Owns the format of sled 0.34: a file of segments, a segment's header and messages, a page's nodes and links, and
//! what is too large for a segment in files of its own. sled itself stops at the first message that it cannot read, and
//! writes to the file when it opens it; this room does neither. `salvage/remains.rs` makes keys of the pages.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

/// Bytes of a segment; sled's default, which Signet never changed.
const SEGMENT: usize = 512 << 10;
const SEGMENT_U64: u64 = SEGMENT as u64;

/// Bytes of a segment's header.
const HEADER: usize = 20;

/// A segment's last bytes hold no message when there are fewer than this.
const MESSAGE_MIN: usize = 32;

/// Kinds of messages; the others up to `LARGE_LINK` are sled's own, and all above stand for damage.
mod kind {
    pub(super) const CANCELED: u8 = 1;
    pub(super) const CAP: u8 = 2;
    pub(super) const BATCH: u8 = 3;
    pub(super) const FREE: u8 = 4;
    pub(super) const NODE: u8 = 8;
    pub(super) const LARGE_NODE: u8 = 9;
    pub(super) const LINK: u8 = 10;
    pub(super) const LARGE_LINK: u8 = 11;
}

/// What could not be read of the files.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Damage {
    /// Places at which the file is damaged, each of them as long as nothing in it can be read.
    pub places: usize,
    /// Bytes at those places.
    pub bytes: u64,
    /// Pages whose newest state is there and cannot be read.
    pub pages: usize,
}

/// A leaf of sled's tree: all keys from `low` up to `high`, which is empty when there is no end.
#[derive(Debug, Default)]
pub(super) struct Leaf {
    /// Where in the log its node is: the higher, the newer.
    pub(super) position: u64,
    pub(super) low: Vec<u8>,
    pub(super) high: Vec<u8>,
    pub(super) records: BTreeMap<Vec<u8>, Vec<u8>>,
}

/// A message of a page: where it stands in the log, and its body in the file.
#[derive(Debug, Clone, Copy)]
struct Entry {
    position: u64,
    kind: u8,
    at: u64,
    len: usize,
}

impl Entry {
    /// Whether its body lies in a file of its own.
    fn is_apart(&self) -> bool {
        matches!(self.kind, kind::LARGE_NODE | kind::LARGE_LINK)
    }
}

/// Reads every leaf that is left and that is wanted; of a batch that has no end only when `unended` says so.
///
/// # Errors
/// When the file's length cannot be read. A part that the disk gives errors for counts as damaged.
pub(super) fn read(
    file: &File,
    large: &Path,
    unended: bool,
    wanted: impl Fn(&Leaf) -> bool,
) -> io::Result<(Vec<Leaf>, Damage)> {
    let mut pages: BTreeMap<u64, Vec<Entry>> = BTreeMap::new();
    let keep = |page, entry| pages.entry(page).or_default().push(entry);
    let Scan { mut damage, torn, .. } = scan(file, &mut Vec::new(), keep)?;
    let mut leaves = Vec::new();
    for (_, mut entries) in pages {
        entries.sort_unstable_by_key(|entry| entry.position);
        // A batch that was being written when everything ended is not there at all.
        entries.retain(|entry| unended || torn.is_none_or(|torn| entry.position < torn));
        leaves.extend(leaf(file, large, &entries, &mut damage).filter(&wanted));
    }
    Ok((leaves, damage))
}

/// What becomes of a file when sled opens it.
pub(super) struct Outlook {
    /// Nothing is cleared but a batch that has no end: there is no damaged place, no segment is missing where sled
    /// begins to read, and what lies in files of its own can be read.
    pub(super) is_sound: bool,
    /// There is a batch that has no end.
    pub(super) has_torn: bool,
}

/// Looks at a file that sled begins to read at the position `from`, where its snapshot of the page table ends.
/// `segment` is what is read into.
///
/// # Errors
/// As [`read`].
pub(super) fn outlook(file: &File, large: &Path, from: u64, segment: &mut Vec<u8>) -> io::Result<Outlook> {
    let mut apart = Vec::new();
    let scan = scan(file, segment, |_, entry| {
        if entry.is_apart() && entry.position >= from / SEGMENT_U64 * SEGMENT_U64 {
            apart.push(entry);
        }
    })?;
    // One that is gone was replaced since.
    let unreadable = |entry: &Entry| {
        body(file, large, entry).is_none() && apart_name(file, entry).is_none_or(|name| large.join(name).exists())
    };
    let is_sound = scan.damage == Damage::default()
        && !scan.lacks_segments(from)
        && !scan.ends_before(from)
        && !apart.iter().any(unreadable);
    Ok(Outlook { is_sound, has_torn: scan.torn.is_some() })
}

/// Finds every message of a page, and the places that are damaged.
fn scan(file: &File, segment: &mut Vec<u8>, mut found: impl FnMut(u64, Entry)) -> io::Result<Scan> {
    let mut scan = Scan::default();
    let length = file.metadata()?.len();
    let mut at = 0;
    while at < length {
        let size = usize::try_from(length - at).unwrap_or(SEGMENT).min(SEGMENT);
        segment.resize(size, 0);
        match file.read_exact_at(segment, at) {
            Ok(()) => scan.segment(segment, at, &mut found),
            Err(_) => scan.damaged(size),
        }
        at += SEGMENT_U64;
    }
    scan.finish();
    Ok(scan)
}

/// What a file holds.
#[derive(Default)]
struct Scan {
    damage: Damage,
    /// The segments that do not end as they should: number and bytes. Of the newest one that is no damage.
    tails: Vec<(u64, usize)>,
    /// The segments with a header.
    headed: BTreeSet<u64>,
    /// Up to where the log was on disk, as the headers tell.
    stable: u64,
    /// Where the last message ends.
    end: u64,
    /// Batches: where each begins, and its last byte.
    batches: Vec<(u64, u64)>,
    /// Where a batch begins that has no end.
    torn: Option<u64>,
}

impl Scan {
    fn damaged(&mut self, bytes: usize) {
        self.damage.places += 1;
        self.damage.bytes += bytes as u64;
    }

    fn segment(&mut self, bytes: &[u8], base: u64, keep: &mut impl FnMut(u64, Entry)) {
        if is_blank(bytes) {
            return;
        }
        // Every message names the segment that it belongs to: where the header is damaged, or everything has moved, the
        // next one that is whole tells.
        let next_of_any = |from: usize| {
            let found = (from..bytes.len()).find_map(|at| Some((at, message(&bytes[at..], None)?.segment)));
            found
                .filter(|(_, number)| number.checked_add(1).is_some_and(|next| next.checked_mul(SEGMENT_U64).is_some()))
        };
        let headed = header(bytes);
        let (mut at, mut number) = if let Some((number, stable)) = headed {
            self.headed.insert(number);
            self.stable = self.stable.max(stable);
            (HEADER, number)
        } else if let Some((at, number)) = next_of_any(0) {
            self.damaged(at);
            (at, number)
        } else {
            let used = bytes.iter().rposition(|byte| *byte != 0);
            return self.damaged(used.map_or(0, |last| last + 1));
        };
        while at + MESSAGE_MIN <= SEGMENT {
            let rest = bytes.get(at..).unwrap_or_default();
            let Some(found) = message(rest, Some(number)) else {
                let next = (at + 1..bytes.len()).find(|next| message(&bytes[*next..], Some(number)).is_some());
                let next = next.map(|next| (next, number)).or_else(|| headed.is_none().then(|| next_of_any(at + 1))?);
                let Some((next, of)) = next else {
                    self.tails.push((number, SEGMENT - at));
                    return;
                };
                self.damaged(next - at);
                (at, number) = (next, of);
                continue;
            };
            let position = number * SEGMENT_U64 + at as u64;
            self.end = self.end.max(position + found.size as u64);
            let body = at + found.size - found.body.len();
            match found.kind {
                kind::CAP => return,
                kind::BATCH => {
                    let last = <[u8; 8]>::try_from(found.body).map_or(0, u64::from_le_bytes);
                    self.batches.push((position, last));
                }
                kind::FREE | kind::NODE | kind::LARGE_NODE | kind::LINK | kind::LARGE_LINK => {
                    let entry = Entry { position, kind: found.kind, at: base + body as u64, len: found.body.len() };
                    keep(found.page, entry);
                }
                _ => {}
            }
            at += found.size;
        }
    }

    fn finish(&mut self) {
        // One that was begun, and in which nothing is yet, has a header only.
        let newest = (self.end.saturating_sub(1) / SEGMENT_U64).max(self.newest_headed());
        for (number, bytes) in std::mem::take(&mut self.tails) {
            if number != newest {
                self.damaged(bytes);
            }
        }
        let end = self.end;
        self.torn = self.batches.iter().filter(|(_, last)| *last >= end).map(|(begin, _)| *begin).min();
    }

    fn newest_headed(&self) -> u64 {
        self.headed.last().copied().unwrap_or(0)
    }

    /// Whether a segment is missing among those that sled has to find, one after the other: from the one on in which the
    /// log was last known to be on disk, or its snapshot of the page table ends. Older ones are used again.
    fn lacks_segments(&self, from: u64) -> bool {
        (self.stable.max(from) / SEGMENT_U64..self.newest_headed()).any(|number| !self.headed.contains(&number))
    }

    /// Whether the log ends before that position: the file is older than the snapshot of its page table, or was cut.
    fn ends_before(&self, from: u64) -> bool {
        from > self.end.next_multiple_of(SEGMENT_U64).max(self.newest_headed() * SEGMENT_U64 + HEADER as u64)
    }
}

fn is_blank(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| *byte == 0)
}

/// The segment's number, and up to where the log was on disk when it was begun, when its header is whole.
fn header(bytes: &[u8]) -> Option<(u64, u64)> {
    let header = bytes.get(..HEADER)?;
    let (sum, rest) = header.split_first_chunk::<4>()?;
    let is_whole = u32::from_le_bytes(*sum) == !crc32fast::hash(rest);
    let position = |bytes: &[u8]| Some(i64::from_le_bytes(*bytes.first_chunk()?) ^ i64::MAX);
    let begin = u64::try_from(position(rest)?).ok().filter(|begin| is_whole && begin.is_multiple_of(SEGMENT_U64))?;
    // Below zero before anything was.
    let stable = u64::try_from(position(&rest[8..])?).unwrap_or(0);
    Some((begin / SEGMENT_U64, stable))
}

struct Message<'a> {
    kind: u8,
    segment: u64,
    page: u64,
    body: &'a [u8],
    /// With its header.
    size: usize,
}

/// The message at the begin of `bytes`, of a certain segment or of any, when its checksum holds.
fn message(bytes: &[u8], of: Option<u64>) -> Option<Message<'_>> {
    let mut rest = Bytes(bytes);
    let sum = rest.take(4)?;
    let kind = rest.byte()?;
    if !(kind::CANCELED..=kind::LARGE_LINK).contains(&kind) {
        return None;
    }
    let length = usize::try_from(rest.number()?).ok()?;
    let segment = rest.number()?;
    if of.is_some_and(|of| of != segment) {
        return None;
    }
    let page = rest.number()?;
    let header = bytes.len() - rest.0.len();
    let body = rest.take(length)?;
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(body);
    hasher.update(&bytes[4..header]);
    let is_whole = sum == (!hasher.finalize()).to_le_bytes();
    is_whole.then_some(Message { kind, segment, page, body, size: header + length })
}

/// The newest state of a page that can be read; `None` for one that is no leaf, or is free.
fn leaf(file: &File, large: &Path, entries: &[Entry], damage: &mut Damage) -> Option<Leaf> {
    let is_base = |entry: &Entry| matches!(entry.kind, kind::FREE | kind::NODE | kind::LARGE_NODE);
    let bases = entries.iter().enumerate().filter(|(_, entry)| is_base(entry));
    for (at, base) in bases.rev() {
        if base.kind == kind::FREE {
            return None;
        }
        let (prefix, mut leaf) = match body(file, large, base).and_then(|body| node(&body)) {
            Some(Node::Leaf(prefix, leaf)) => (prefix, leaf),
            Some(Node::Other) => return None,
            None => {
                damage.pages += 1;
                continue;
            }
        };
        leaf.position = base.position;
        for link in &entries[at + 1..] {
            match body(file, large, link).map(|body| link_of(&body)) {
                Some(Some(Link::Set(key, value))) => {
                    let key = [&*prefix, &*key].concat();
                    if leaf.holds(&key) {
                        leaf.records.insert(key, value);
                    }
                }
                Some(Some(Link::Remove(key))) => drop(leaf.records.remove(&[&*prefix, &*key].concat())),
                Some(Some(Link::Other)) => {}
                // A newer node that was looked at already is no link.
                Some(None) | None => damage.pages += usize::from(!is_base(link)),
            }
        }
        return Some(leaf);
    }
    None
}

impl Leaf {
    /// Whether the key lies between its ends.
    pub(super) fn holds(&self, key: &[u8]) -> bool {
        self.low.as_slice() <= key && (self.high.is_empty() || key < self.high.as_slice())
    }
}

/// The file's bytes of a message, without its header.
fn inline(file: &File, entry: &Entry) -> Option<Vec<u8>> {
    let mut body = vec![0; entry.len];
    file.read_exact_at(&mut body, entry.at).ok()?;
    Some(body)
}

/// The name of the file that the body of a message lies in.
fn apart_name(file: &File, entry: &Entry) -> Option<String> {
    Some(i64::from_le_bytes(inline(file, entry)?.try_into().ok()?).to_string())
}

/// The body of a message, which may lie in a file of its own.
fn body(file: &File, large: &Path, entry: &Entry) -> Option<Vec<u8>> {
    if !entry.is_apart() {
        return inline(file, entry);
    }
    let content = std::fs::read(large.join(apart_name(file, entry)?)).ok()?;
    let (sum, rest) = content.split_first_chunk::<4>()?;
    let is_whole = u32::from_le_bytes(*sum) == crc32fast::hash(rest) && rest.first() == Some(&entry.kind);
    is_whole.then(|| rest[1..].to_vec())
}

enum Node {
    /// With the prefix of all its keys.
    Leaf(Vec<u8>, Leaf),
    /// One that leads to others.
    Other,
}

fn node(body: &[u8]) -> Option<Node> {
    let mut rest = Bytes(body);
    // The next leaf, a child that is being merged into this one, and whether this one is.
    rest.number()?;
    rest.number()?;
    rest.byte()?;
    let prefix = usize::from(rest.byte()?);
    let (low, high) = (rest.text()?.to_vec(), rest.text()?.to_vec());
    let prefix = low.get(..prefix)?.to_vec();
    if rest.byte()? != 0 {
        return Some(Node::Other);
    }
    let count = usize::try_from(rest.number()?).ok()?;
    let keys: Vec<&[u8]> = (0..count).map(|_| rest.text()).collect::<Option<_>>()?;
    let values: Vec<&[u8]> = (0..count).map(|_| rest.text()).collect::<Option<_>>()?;
    let whole = keys.into_iter().map(|key| [&prefix, key].concat());
    let records = whole.zip(values.into_iter().map(<[u8]>::to_vec)).collect();
    Some(Node::Leaf(prefix, Leaf { position: 0, low, high, records }))
}

enum Link {
    Set(Vec<u8>, Vec<u8>),
    Remove(Vec<u8>),
    /// About children, or about the page itself while it is merged into its neighbour.
    Other,
}

fn link_of(body: &[u8]) -> Option<Link> {
    let mut rest = Bytes(body);
    Some(match rest.byte()? {
        0 => Link::Set(rest.text()?.to_vec(), rest.text()?.to_vec()),
        1 => Link::Remove(rest.text()?.to_vec()),
        2..=4 => Link::Other,
        _ => return None,
    })
}

/// Bytes that are read from their begin; `None` when they end too early.
struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn byte(&mut self) -> Option<u8> {
        self.take(1).map(|taken| taken[0])
    }

    /// One to nine bytes: the first says how many, or is the number itself.
    fn number(&mut self) -> Option<u64> {
        Some(match self.byte()? {
            first @ 0..=240 => u64::from(first),
            first @ 241..=248 => 240 + 256 * (u64::from(first) - 241) + u64::from(self.byte()?),
            249 => 2288 + 256 * u64::from(self.byte()?) + u64::from(self.byte()?),
            first => {
                let taken = self.take(usize::from(first) - 247)?;
                let mut bytes = [0; 8];
                bytes.get_mut(..taken.len())?.copy_from_slice(taken);
                u64::from_le_bytes(bytes)
            }
        })
    }

    /// Bytes after their number.
    fn text(&mut self) -> Option<&'a [u8]> {
        let count = usize::try_from(self.number()?).ok()?;
        self.take(count)
    }
}
