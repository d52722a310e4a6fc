//! Searching everything a relay has for what it must not have.
//!
//! **Elsewhere**: what is searched for, and when, is `seizure`, which the demo and this
//! crate's tests run alike.
//!
//! **Always**: each secret is searched for in pieces of [`WINDOW`] bytes, as it is and
//! as base64 and hexadecimal digits, so that a copy is found even where a compressed
//! file broke it up or an encoding changed it. Pieces are random enough that finding
//! one by chance is out of the question. Addresses, which are not, are searched for whole,
//! in all the same forms.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{ErrorKind, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use aho_corasick::{AhoCorasick, AhoCorasickKind, MatchKind};
use anyhow::{Context, Result};
use data_encoding::{BASE64_NOPAD, BASE64URL_NOPAD, HEXLOWER, HEXUPPER};

/// Secrets are searched for in pieces of this many bytes: 40 bits and more of what is
/// random about them.
pub const WINDOW: usize = 8;

/// Read at once.
const CHUNK: usize = 1 << 20;

/// More than the longest pattern: an address as hexadecimal digits.
const OVERLAP: usize = 1024;

/// What a pattern belongs to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Secret {
    /// The text with this number.
    Canary(usize),
    /// Whose address.
    Address(String),
    /// Which private key.
    Key(String),
    /// A piece of ciphertext that the relay held, with its number.
    Ciphertext(usize),
}

/// Something that was found.
#[derive(Clone, Debug)]
pub struct Hit {
    /// What.
    pub secret: Secret,
    /// As text, as base64…
    pub form: &'static str,
    /// In which file, or at which address of memory.
    pub place: String,
}

/// What to search for.
pub struct Needles {
    automaton: AhoCorasick,
    owners: Vec<(Secret, &'static str)>,
}

/// What a search found, and how much it looked at.
#[derive(Debug, Default)]
pub struct Findings {
    /// Everything found.
    pub hits: Vec<Hit>,
    /// Bytes looked at.
    pub bytes: u64,
}

/// Collects what to search for.
#[derive(Default)]
pub struct NeedlesBuilder {
    patterns: Vec<Vec<u8>>,
    owners: Vec<(Secret, &'static str)>,
}

impl NeedlesBuilder {
    /// A secret, in pieces and in all its forms.
    pub fn secret(&mut self, secret: &Secret, bytes: &[u8]) {
        for piece in bytes.chunks_exact(WINDOW) {
            self.forms(secret, piece);
        }
    }

    /// An address, whole and in all its forms.
    pub fn address(&mut self, address: &str) {
        self.forms(&Secret::Address(address.to_owned()), address.as_bytes());
    }

    /// Bytes that are searched for as they are, whole.
    pub fn whole(&mut self, secret: &Secret, bytes: &[u8]) {
        self.pattern(secret, "as it is", bytes.to_vec());
    }

    fn forms(&mut self, secret: &Secret, bytes: &[u8]) {
        self.pattern(secret, "as it is", bytes.to_vec());
        self.pattern(secret, "hexadecimal", HEXLOWER.encode(bytes).into());
        self.pattern(secret, "hexadecimal", HEXUPPER.encode(bytes).into());
        for shift in 0..3 {
            for encoding in [&BASE64_NOPAD, &BASE64URL_NOPAD] {
                self.pattern(secret, "base64", base64_core(encoding, bytes, shift));
            }
        }
    }

    fn pattern(&mut self, secret: &Secret, form: &'static str, pattern: Vec<u8>) {
        if !pattern.is_empty() && self.patterns.last() != Some(&pattern) {
            self.patterns.push(pattern);
            self.owners.push((secret.clone(), form));
        }
    }

    /// Ready to search.
    pub fn build(self) -> Result<Needles> {
        let automaton = AhoCorasick::builder()
            .kind(Some(AhoCorasickKind::ContiguousNFA))
            .match_kind(MatchKind::Standard)
            .build(&self.patterns)
            .context("too much to search for")?;
        Ok(Needles {
            automaton,
            owners: self.owners,
        })
    }
}

/// The characters of `piece`'s base64 that do not depend on what stands around it, when
/// it begins `shift` bytes into a group of three.
fn base64_core(encoding: &data_encoding::Encoding, piece: &[u8], shift: usize) -> Vec<u8> {
    let padded = [vec![0; shift], piece.to_vec()].concat();
    let text = encoding.encode(&padded).into_bytes();
    let from = (shift * 8).div_ceil(6);
    let to = padded.len() * 8 / 6;
    text.get(from..to).unwrap_or_default().to_vec()
}

impl Needles {
    /// Looks through bytes.
    pub fn in_bytes(&self, bytes: &[u8], place: &str, findings: &mut Findings) {
        self.after(0, bytes, place, findings);
    }

    /// Looks through bytes of which the first `known` were looked through before.
    fn after(&self, known: usize, bytes: &[u8], place: &str, findings: &mut Findings) {
        findings.bytes += (bytes.len() - known) as u64;
        for found in self
            .automaton
            .find_overlapping_iter(bytes)
            .filter(|found| found.end() > known)
        {
            if let Some((secret, form)) = self.owners.get(found.pattern().as_usize()) {
                let place = format!("{place}+{:#x}", found.start());
                findings.hits.push(Hit {
                    secret: secret.clone(),
                    form,
                    place,
                });
            }
        }
    }

    /// Looks through every file below a folder: journals, tables, whatever is there, to
    /// the last byte, and their names.
    pub fn in_folder(&self, folder: &Path) -> Result<Findings> {
        let mut findings = Findings::default();
        for path in files(folder)? {
            let name = path
                .strip_prefix(folder)
                .unwrap_or(&path)
                .display()
                .to_string();
            self.in_bytes(name.as_bytes(), &name, &mut findings);
            // A relay that goes on may remove a file while others are looked through.
            let mut file = match File::open(&path) {
                Err(error) if error.kind() == ErrorKind::NotFound => continue,
                opened => opened?,
            };
            let length = file.metadata()?.len();
            self.in_range(&mut file, 0, length, &name, &mut findings);
        }
        Ok(findings)
    }

    /// Looks through the memory of a process of ours: everything it may read itself.
    pub fn in_memory(&self, pid: u32) -> Result<Findings> {
        let mut findings = Findings::default();
        let maps = fs::read_to_string(format!("/proc/{pid}/maps"))
            .context("the map of the process's memory cannot be read here")?;
        let mut memory = File::open(format!("/proc/{pid}/mem"))
            .context("the process's memory may not be read here")?;
        for (from, to, name) in maps.lines().filter_map(readable_range) {
            self.in_range(&mut memory, from, to, &name, &mut findings);
        }
        Ok(findings)
    }

    /// Looks through part of a file. What cannot be read (a device's memory, the
    /// kernel's own pages) is not counted as looked at.
    fn in_range(&self, file: &mut File, from: u64, to: u64, name: &str, findings: &mut Findings) {
        let mut at = from;
        let mut buffer = vec![0; CHUNK + OVERLAP];
        let mut kept = 0;
        while at < to && file.seek(SeekFrom::Start(at)).is_ok() {
            let wanted = usize::try_from(to - at).unwrap_or(CHUNK).min(CHUNK);
            let Some(space) = buffer.get_mut(kept..kept + wanted) else {
                return;
            };
            let Ok(read) = file.read(space) else { return };
            if read == 0 {
                return;
            }
            let end = kept + read;
            let place = format!("{name} {:#x}", at - kept as u64);
            let before = findings.hits.len();
            self.after(
                kept,
                buffer.get(..end).unwrap_or_default(),
                &place,
                findings,
            );
            at += read as u64;
            // What stands across the border is found together with the next part.
            let overlap = end.min(OVERLAP);
            buffer.copy_within(end - overlap..end, 0);
            kept = overlap;
            if findings.hits.len() - before > 100_000 {
                return;
            }
        }
    }
}

impl Findings {
    /// How many different secrets of a kind were found.
    pub fn distinct(&self, kind: impl Fn(&Secret) -> bool) -> usize {
        let mut seen: Vec<&Secret> = self
            .hits
            .iter()
            .map(|hit| &hit.secret)
            .filter(|secret| kind(secret))
            .collect();
        seen.sort_unstable();
        seen.dedup();
        seen.len()
    }

    /// How often each address was found.
    pub fn addresses(&self) -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        for hit in &self.hits {
            if let Secret::Address(address) = &hit.secret {
                *counts.entry(address.clone()).or_default() += 1;
            }
        }
        counts
    }

    /// The first finds, for a person to look into.
    pub fn first(&self, count: usize) -> String {
        let lines = self.hits.iter().take(count);
        lines
            .map(|h| format!("    {:?} {} in {}", h.secret, h.form, h.place))
            .collect::<Vec<_>>()
            .join("\n")
    }

    /// Both together.
    #[must_use]
    pub fn and(mut self, other: Self) -> Self {
        self.hits.extend(other.hits);
        self.bytes += other.bytes;
        self
    }
}

/// Every file below a folder.
pub fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in
        fs::read_dir(folder).with_context(|| format!("cannot list {}", folder.display()))?
    {
        let entry = entry?;
        let kind = entry.file_type()?;
        if kind.is_dir() {
            found.extend(files(&entry.path())?);
        } else if kind.is_file() {
            found.push(entry.path());
        }
    }
    found.sort();
    Ok(found)
}

/// `7f…-7f… rw-p …` of /proc/PID/maps, where it is readable.
fn readable_range(line: &str) -> Option<(u64, u64, String)> {
    let mut parts = line.split_whitespace();
    let (from, to) = parts.next()?.split_once('-')?;
    if !parts.next()?.starts_with('r') {
        return None;
    }
    let name = parts.nth(3).unwrap_or("memory");
    Some((
        u64::from_str_radix(from, 16).ok()?,
        u64::from_str_radix(to, 16).ok()?,
        name.to_owned(),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "qwjz7k2m4x9vtbn5hd3rfg8p";
    const ADDRESS: &str = "alice@demo.waxwing.example";

    fn needles() -> Needles {
        let mut builder = NeedlesBuilder::default();
        builder.secret(&Secret::Canary(0), TEXT.as_bytes());
        builder.address(ADDRESS);
        builder.build().unwrap()
    }

    fn found(bytes: &[u8]) -> Findings {
        let mut findings = Findings::default();
        needles().in_bytes(bytes, "here", &mut findings);
        findings
    }

    #[test]
    fn texts_are_found_plain_and_encoded_at_every_alignment() {
        for (before, planted) in (0..4).flat_map(|n| [(n, TEXT), (n, ADDRESS)]) {
            let plain = [vec![b'-'; before], planted.into(), b"--".to_vec()].concat();
            for bytes in [
                plain.clone(),
                HEXLOWER.encode(&plain).into(),
                HEXUPPER.encode(&plain).into(),
                BASE64_NOPAD.encode(&plain).into(),
                BASE64URL_NOPAD.encode(&plain).into(),
            ] {
                assert_eq!(found(&bytes).distinct(|_| true), 1, "{before} {bytes:?}");
            }
        }
        assert!(found(b"nothing of it is here").hits.is_empty());
    }

    #[test]
    fn a_piece_of_a_text_is_found() {
        assert_eq!(found(&TEXT.as_bytes()[6..18]).hits.len(), 1);
    }

    #[test]
    fn files_are_searched_whole_across_the_borders_of_reads() {
        let folder = tempfile::tempdir().unwrap();
        let inner = folder.path().join("inner");
        fs::create_dir(&inner).unwrap();
        let mut bytes = vec![0; 2 * CHUNK + 1000];
        bytes[CHUNK - 10..CHUNK - 10 + TEXT.len()].copy_from_slice(TEXT.as_bytes());
        let end = bytes.len() - WINDOW;
        bytes[end..].copy_from_slice(&TEXT.as_bytes()[..WINDOW]);
        fs::write(inner.join("journal"), &bytes).unwrap();
        let findings = needles().in_folder(folder.path()).unwrap();
        let mut places: Vec<_> = findings.hits.iter().map(|hit| hit.place.clone()).collect();
        places.dedup();
        assert!(places.len() >= 4, "{places:?}");
        assert_eq!(
            findings.bytes,
            bytes.len() as u64 + "inner/journal".len() as u64
        );
    }

    #[test]
    fn our_own_memory_holds_what_we_put_there() {
        // The compiled test holds TEXT itself, and so does this copy.
        let copy = std::hint::black_box(TEXT.to_owned());
        let findings = needles().in_memory(std::process::id()).unwrap();
        assert_eq!(findings.distinct(|s| matches!(s, Secret::Canary(_))), 1);
        assert!(findings.bytes > 100_000);
        drop(copy);
    }

    #[test]
    fn addresses_are_counted() {
        let two = format!("{ADDRESS} {ADDRESS}");
        assert_eq!(found(two.as_bytes()).addresses().get(ADDRESS), Some(&2));
        assert!(found(b"alice@demo.waxwing.exampl").hits.is_empty());
    }

    #[test]
    fn an_address_is_found_in_a_files_name() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(format!("{ADDRESS}.json")), b"").unwrap();
        let findings = needles().in_folder(folder.path()).unwrap();
        assert_eq!(findings.addresses().get(ADDRESS), Some(&1));
    }
}
