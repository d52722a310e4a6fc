//! The files of a message, as they stand in the content: external parts, each of which names a
//! blob.
//!
//! **Elsewhere**: `attachment` transfers the blob; the sealing is in `waxwing_protocol::blob`.
//!
//! **Always**: a part that is not one of ours, or not well-formed, is not a file.

use waxwing_protocol::blob::Shape;

use super::{Content, External, Part, PartBody, preview};

/// Files of one message, at most.
pub(crate) const FILES: usize = 32;

/// Bytes of a file's name and media type that are kept.
const NAME_BYTES: usize = 255;

/// A file of a message.
pub(crate) struct File {
    pub blob: [u8; 32],
    pub key: [u8; 32],
    pub hash: [u8; 32],
    pub size: u64,
    pub media_type: String,
    pub name: String,
    /// What [`preview::read`] reads, or empty.
    pub preview: Vec<u8>,
}

impl File {
    /// As it stands in a message.
    pub(crate) fn external(&self) -> External {
        External {
            content_type: self.media_type.clone(),
            url: format!("{URL}{}", data_encoding::HEXLOWER.encode(&self.blob)),
            expires: 0,
            size: self.size,
            encryption: 0,
            key: self.key.to_vec(),
            nonce: Vec::new(),
            aad: Vec::new(),
            hash: SHA_256,
            content_hash: self.hash.to_vec(),
            description: String::new(),
            filename: self.name.clone(),
        }
    }

    /// Of a part that is one of ours, and well-formed.
    pub(crate) fn from_part(external: &External) -> Option<Self> {
        let id = external.url.strip_prefix(URL)?;
        let id = data_encoding::HEXLOWER.decode(id.as_bytes()).ok()?;
        Shape::of(external.size).ok()?;
        if external.hash != SHA_256 {
            return None;
        }
        Some(Self {
            blob: id.try_into().ok()?,
            key: external.key.as_slice().try_into().ok()?,
            hash: external.content_hash.as_slice().try_into().ok()?,
            size: external.size,
            media_type: cut(&external.content_type),
            name: shortened_name(&external.filename, NAME_BYTES),
            preview: Vec::new(),
        })
    }

    /// Bytes of all sealed chunks.
    pub(crate) fn sealed_bytes(&self) -> u64 {
        Shape::of(self.size).map_or(0, Shape::sealed_bytes)
    }
}

const URL: &str = "waxwing:blob/";
/// In IANA's registry of named information hash algorithms.
const SHA_256: u8 = 1;

fn cut(text: &str) -> String {
    let end = text.floor_char_boundary(NAME_BYTES.min(text.len()));
    text.get(..end).unwrap_or_default().to_owned()
}

/// Bytes of an ending, with its dot, that is kept where a name is too long.
const ENDING_BYTES: usize = 20;

/// A file's name and its ending, with the dot. A name that only begins with a dot has none.
pub fn split_ending(name: &str) -> (&str, &str) {
    match name.rfind('.') {
        Some(dot) if dot > 0 && name.len() - dot <= ENDING_BYTES => name.split_at(dot),
        _ => (name, ""),
    }
}

/// A file's name in at most so many bytes: with its ending, by which programs know it.
pub fn shortened_name(name: &str, bytes: usize) -> String {
    if name.len() <= bytes {
        return name.to_owned();
    }
    let (stem, ending) = split_ending(name);
    let end = stem.floor_char_boundary(bytes.saturating_sub(ending.len()));
    format!("{}{ending}", stem.get(..end).unwrap_or_default())
}

/// The files of a message.
pub(crate) fn files(content: &Content) -> Vec<File> {
    let mut found: Vec<File> = Vec::new();
    let mut left = vec![&content.body];
    while let Some(part) = left.pop() {
        match &part.body {
            PartBody::External(external) => found.extend(File::from_part(external)),
            PartBody::Multi { parts, .. } => left.extend(parts.iter().rev()),
            // It stands behind its file.
            _ => {
                if let (Some(file), Some(preview)) = (found.last_mut(), preview::part_preview(part))
                {
                    file.preview = preview;
                }
            }
        }
    }
    found.truncate(FILES);
    found
}

/// The files of a message, as they stand in it.
pub(crate) fn parts(files: &[File]) -> Vec<(External, Option<Part>)> {
    let mut previews: Vec<Vec<u8>> = files.iter().map(|file| file.preview.clone()).collect();
    preview::fit(&mut previews);
    let parts = previews
        .iter()
        .map(|preview| (!preview.is_empty()).then(|| preview::part(preview)));
    files.iter().map(File::external).zip(parts).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_is_too_long_keeps_its_ending() {
        let long = "\u{645}".repeat(150);
        for (name, ending) in [
            (format!("{long}.pdf"), ".pdf"),
            (long.clone(), "\u{645}"),
            (format!(".{long}"), "\u{645}"),
            (format!("scan.{long}"), "\u{645}"),
        ] {
            let short = shortened_name(&name, 200);
            assert!(short.len() <= 200 && short.len() > 190, "{}", short.len());
            assert!(short.ends_with(ending), "{short}");
        }
        assert_eq!(shortened_name("scan.pdf", 200), "scan.pdf");
    }
}
