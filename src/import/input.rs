//! What an import reads: a file, or standard input put aside, as a row of JSON texts.
//!
//! Owns the bytes, their limits and the places of faults; knows nothing of what the texts say. Every pass gives the
//! texts one by one: the whole is never in memory.

use std::cell::Cell;
use std::fmt;
use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read, Seek as _};
use std::path::Path;
use std::rc::Rc;

use serde::de::{DeserializeOwned, DeserializeSeed, Deserializer, SeqAccess, Visitor};
use sha2::{Digest as _, Sha256};

/// Largest record that is read, in bytes.
const RECORD_BYTES_MAX: u64 = 1024 * 1024;

/// Why the input could not be read: what, where, and how to mend it.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Unreadable(pub String);

/// How the texts stand in the input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// One array of them.
    Array,
    /// Each on a line of its own.
    Lines,
}

/// An input that can be read more than once.
#[derive(Debug)]
pub struct Input {
    name: String,
    file: File,
    form: Form,
    /// Bytes before the first text.
    begin: u64,
}

impl Input {
    /// The input of a file, or of standard input for `-`.
    ///
    /// # Errors
    /// When it cannot be read, or is neither a JSON array nor JSON lines.
    pub fn open(path: &Path) -> Result<Self, Unreadable> {
        let standard = path == Path::new("-");
        let name = if standard { "standard input".to_owned() } else { path.display().to_string() };
        let failed = |e: io::Error| Unreadable(format!("{name}: cannot be read: {e}"));
        let file = if standard {
            spool(&mut io::stdin().lock()).map_err(failed)?
        } else {
            let mut file = File::open(path).map_err(failed)?;
            // A pipe is read once, and more than one pass is needed.
            if file.metadata().map_err(failed)?.is_file() { file } else { spool(&mut file).map_err(failed)? }
        };
        let mut input = Self { name, file, form: Form::Lines, begin: 0 };
        (input.form, input.begin) = input.look()?;
        Ok(input)
    }

    /// The form, by the first byte that is not white space; and the length of a mark before it.
    fn look(&mut self) -> Result<(Form, u64), Unreadable> {
        let wrong = |what: &str| {
            Unreadable(format!("{}: {what}; `manage.py dumpdata --output FILE` writes what is wanted", self.name))
        };
        let failed = |e: io::Error| Unreadable(format!("{}: cannot be read: {e}", self.name));
        self.file.rewind().map_err(failed)?;
        let mut head = Vec::new();
        (&self.file).take(4096).read_to_end(&mut head).map_err(failed)?;
        let begin = if head.starts_with(b"\xef\xbb\xbf") { 3 } else { 0 };
        if head.starts_with(b"\xff\xfe") || head.starts_with(b"\xfe\xff") {
            return Err(wrong("it is in UTF-16, as some shells write it, and not in UTF-8"));
        }
        match head[begin..].trim_ascii_start().first() {
            Some(b'[') => Ok((Form::Array, begin as u64)),
            Some(b'{') => Ok((Form::Lines, begin as u64)),
            Some(_) => Err(wrong("it is neither a JSON array nor JSON lines")),
            None => Err(wrong("it is empty")),
        }
    }

    /// Gives each text to `each`, with its number from 1 on; `each` ends the pass with an error. Gives the SHA-256
    /// of the input.
    ///
    /// # Errors
    /// What `each` finds; a text that is no JSON of the shape `T`, or is too large, with its place.
    pub fn pass<T: DeserializeOwned>(
        &mut self,
        mut each: impl FnMut(u64, T) -> Result<(), Unreadable>,
    ) -> Result<[u8; 32], Unreadable> {
        let failed = |e: io::Error| Unreadable(format!("{}: cannot be read: {e}", self.name));
        self.file.seek(io::SeekFrom::Start(self.begin)).map_err(failed)?;
        let mut reader = BufReader::with_capacity(64 * 1024, Hashing { file: &self.file, hash: Sha256::new() });
        match self.form {
            Form::Lines => lines(&self.name, &mut reader, &mut each)?,
            Form::Array => array(&self.name, &mut reader, &mut each)?,
        }
        io::copy(&mut reader, &mut io::sink()).map_err(failed)?;
        Ok(reader.into_inner().hash.finalize().into())
    }
}

/// Puts a stream aside, in a file that nobody else can open and that goes with the process.
fn spool(from: &mut dyn Read) -> io::Result<File> {
    let mut file = tempfile::tempfile()?;
    io::copy(from, &mut file)?;
    Ok(file)
}

type Each<'e, T> = &'e mut dyn FnMut(u64, T) -> Result<(), Unreadable>;

fn too_large() -> String {
    format!("larger than {} MiB, which no record is", RECORD_BYTES_MAX >> 20)
}

fn lines<T: DeserializeOwned>(
    name: &str,
    reader: &mut BufReader<Hashing<'_>>,
    each: Each<'_, T>,
) -> Result<(), Unreadable> {
    let mut text = Vec::new();
    let (mut line, mut number) = (0u64, 0u64);
    loop {
        line += 1;
        text.clear();
        let at = |why: &dyn fmt::Display| Unreadable(format!("{name}: line {line}: {why}"));
        reader.by_ref().take(RECORD_BYTES_MAX + 1).read_until(b'\n', &mut text).map_err(|e| at(&e))?;
        if text.is_empty() {
            return Ok(());
        }
        if text.len() as u64 > RECORD_BYTES_MAX {
            return Err(at(&too_large()));
        }
        if text.trim_ascii().is_empty() {
            continue;
        }
        number += 1;
        let record = serde_json::from_slice(&text).map_err(|e| {
            let what = if e.is_eof() { "it is cut off" } else { "it is not JSON of the expected shape" };
            at(&format!("column {}: {what} ({})", e.column(), reason(&e)))
        })?;
        each(number, record)?;
    }
}

fn array<T: DeserializeOwned>(
    name: &str,
    reader: &mut BufReader<Hashing<'_>>,
    each: Each<'_, T>,
) -> Result<(), Unreadable> {
    let left = Rc::new(Cell::new(RECORD_BYTES_MAX));
    let number = Rc::new(Cell::new(0));
    let stopped = Rc::new(Cell::new(None));
    let mut from = serde_json::Deserializer::from_reader(Limited { inner: reader, left: Rc::clone(&left) });
    let visit = Records { each, left, number: Rc::clone(&number), stopped: Rc::clone(&stopped) };
    let done = visit.deserialize(&mut from).and_then(|()| from.end());
    if let Some(why) = stopped.take() {
        return Err(why);
    }
    done.map_err(|e| {
        let what = if e.is_eof() { "it is cut off" } else { "it is not JSON of the expected shape" };
        let (record, line, column) = (number.get(), e.line(), e.column());
        Unreadable(format!("{name}: record {record}, line {line}, column {column}: {what} ({})", reason(&e)))
    })
}

/// What the reader of JSON says, without the place, which is said already.
fn reason(error: &serde_json::Error) -> String {
    let text = error.to_string();
    text.split(" at line ").next().unwrap_or_default().to_owned()
}

/// Hashes what is read.
struct Hashing<'a> {
    file: &'a File,
    hash: Sha256,
}

impl Read for Hashing<'_> {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read(to)?;
        self.hash.update(&to[..read]);
        Ok(read)
    }
}

/// Gives so many bytes and no more.
struct Limited<R> {
    inner: R,
    left: Rc<Cell<u64>>,
}

impl<R: Read> Read for Limited<R> {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(to)?;
        let left = self.left.get().checked_sub(read as u64);
        self.left.set(left.ok_or_else(|| io::Error::other(too_large()))?);
        Ok(read)
    }
}

/// The texts of an array.
struct Records<'e, T> {
    each: Each<'e, T>,
    left: Rc<Cell<u64>>,
    number: Rc<Cell<u64>>,
    stopped: Rc<Cell<Option<Unreadable>>>,
}

impl<'de, T: DeserializeOwned> DeserializeSeed<'de> for Records<'_, T> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<(), D::Error> {
        from.deserialize_seq(self)
    }
}

impl<'de, T: DeserializeOwned> Visitor<'de> for Records<'_, T> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of records")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut records: A) -> Result<(), A::Error> {
        loop {
            self.number.set(self.number.get() + 1);
            self.left.set(RECORD_BYTES_MAX);
            let Some(record) = records.next_element()? else { return Ok(()) };
            if let Err(why) = (self.each)(self.number.get(), record) {
                self.stopped.set(Some(why));
                return Err(serde::de::Error::custom("stopped"));
            }
        }
    }
}
