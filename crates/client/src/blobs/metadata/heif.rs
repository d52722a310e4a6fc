//! HEIC and AVIF: HEIF (ISO/IEC 23008-12), in the boxes of ISO/IEC 14496-12.
//!
//! Items of a picture are found by their places in the file, so nothing may move. Metadata is
//! overwritten where it stands.
//!
//! **Elsewhere.** Which side is up is a property of the picture (`irot`, `imir`), and stays.
//!
//! **Always.** A file in which an item's place is not understood is an error.

use std::io::{Read, Seek};

use super::{NotCleaned, Piece, Plan, Source};

/// The kinds of picture by which a file says that it is one.
const BRANDS: [&[u8; 4]; 11] = [
    b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1", b"miaf", b"avif",
    b"avis",
];
/// Bytes of the list of brands, at most.
const BRANDS_BYTES: u64 = 4096;
/// Parts of items, and items of metadata, at most; a picture has at most a few hundred.
const ITEMS: usize = 16_384;
/// Bytes of the box that says which item is where, at most.
const META_BYTES: u64 = 4 << 20;
/// Boxes within boxes.
const DEPTH: u32 = 4;
/// An Exif item without an entry: where TIFF begins, and an empty TIFF (23008-12 annex A.2.1).
const EMPTY_EXIF: &[u8] = b"\0\0\0\0MM\0*\0\0\0\x08\0\0\0\0\0\0";

/// A box: its kind, where its content begins and where it ends.
struct Block {
    kind: [u8; 4],
    start: u64,
    content: u64,
    end: u64,
}

/// A stretch of the file that is overwritten.
struct Blank {
    from: u64,
    length: u64,
    with: &'static [u8],
}

pub(super) fn is_heif<F: Read + Seek>(
    source: &mut Source<F>,
    head: &[u8],
) -> Result<bool, NotCleaned> {
    if head.get(4..8) != Some(b"ftyp") {
        return Ok(false);
    }
    let brands = match next_box(source, 0, source.size) {
        Ok(first) => source.part(first.content, first.end - first.content, BRANDS_BYTES),
        Err(error) => Err(error),
    };
    let brands = match brands {
        Ok(brands) => brands,
        // Whatever it is, it does not say that it is a picture.
        Err(NotCleaned::Damaged) => return Ok(false),
        Err(error) => return Err(error),
    };
    let mut brands = brands.chunks_exact(4);
    // The second is not a brand, but a number.
    let major = brands.next();
    brands.next();
    Ok(major
        .into_iter()
        .chain(brands)
        .any(|brand| BRANDS.iter().any(|known| brand == *known)))
}

pub(super) fn plan<F: Read + Seek>(source: &mut Source<F>) -> Result<Plan, NotCleaned> {
    let mut blanks = Vec::new();
    find(source, 0, source.size, DEPTH, &mut blanks)?;
    blanks.sort_by_key(|blank| blank.from);
    let mut plan = Plan::default();
    let mut at = 0;
    for blank in blanks {
        if blank.from < at {
            // Two items of metadata share a place.
            if blank.from + blank.length > at {
                return Err(NotCleaned::Damaged);
            }
            continue;
        }
        if is_blank(source, &blank)? {
            continue;
        }
        plan.copy(at, blank.from - at)?;
        let with = with(&blank);
        let rest = blank.length - with.len() as u64;
        plan.push(Piece::Bytes(with.to_vec()))?;
        plan.push(Piece::Fill {
            byte: 0,
            length: rest,
        })?;
        at = blank.from + blank.length;
    }
    plan.copy(at, source.size - at)?;
    Ok(plan)
}

fn with(blank: &Blank) -> &'static [u8] {
    if blank.with.len() as u64 <= blank.length {
        blank.with
    } else {
        &[]
    }
}

fn is_blank<F: Read + Seek>(source: &mut Source<F>, blank: &Blank) -> Result<bool, NotCleaned> {
    const STRETCH: u64 = 64 << 10;
    let mut expected = with(blank).iter().copied().chain(std::iter::repeat(0));
    let mut at = blank.from;
    let end = blank.from + blank.length;
    while at < end {
        let bytes = source.part(at, (end - at).min(STRETCH), STRETCH)?;
        at += bytes.len() as u64;
        if bytes.into_iter().any(|byte| Some(byte) != expected.next()) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The box at this place.
fn next_box<F: Read + Seek>(
    source: &mut Source<F>,
    start: u64,
    within: u64,
) -> Result<Block, NotCleaned> {
    let [a, b, c, d, kind @ ..]: [u8; 8] = source.at(start)?;
    let (content, length) = match u32::from_be_bytes([a, b, c, d]) {
        // Up to the end.
        0 => (8, within - start),
        1 => (16, u64::from_be_bytes(source.at(start + 8)?)),
        length => (8, u64::from(length)),
    };
    let end = start.saturating_add(length);
    if length < content || end > within {
        return Err(NotCleaned::Damaged);
    }
    Ok(Block {
        kind,
        start,
        content: start + content,
        end,
    })
}

/// Finds metadata in the boxes between two places.
fn find<F: Read + Seek>(
    source: &mut Source<F>,
    from: u64,
    to: u64,
    depth: u32,
    blanks: &mut Vec<Blank>,
) -> Result<(), NotCleaned> {
    let mut at = from;
    while at < to {
        let one = next_box(source, at, to)?;
        match &one.kind {
            b"meta" if depth == DEPTH => of_items(source, &one, blanks)?,
            // What programs add for themselves, and what films have.
            b"meta" | b"uuid" | b"udta" => empty(&one, blanks),
            b"free" | b"skip" => blanks.push(Blank {
                from: one.content,
                length: one.end - one.content,
                with: &[],
            }),
            b"moov" | b"trak" if depth > 0 => {
                find(source, one.content, one.end, depth - 1, blanks)?;
            }
            _ => {}
        }
        at = one.end;
    }
    Ok(())
}

/// Makes a box an empty one of the same length.
fn empty(one: &Block, blanks: &mut Vec<Blank>) {
    blanks.push(Blank {
        from: one.start + 4,
        length: 4,
        with: b"free",
    });
    blanks.push(Blank {
        from: one.content,
        length: one.end - one.content,
        with: &[],
    });
}

/// Finds the items of metadata in a `meta` box.
fn of_items<F: Read + Seek>(
    source: &mut Source<F>,
    meta: &Block,
    blanks: &mut Vec<Blank>,
) -> Result<(), NotCleaned> {
    // Version and flags come first.
    let start = meta.content + 4;
    let (mut items, mut places, mut idat) = (None, None, None);
    let mut at = start;
    while at < meta.end {
        let one = next_box(source, at, meta.end)?;
        at = one.end;
        match &one.kind {
            b"iinf" => items = Some(one),
            b"iloc" => places = Some(one),
            b"idat" => idat = Some((one.content, one.end)),
            b"uuid" | b"udta" | b"free" | b"skip" => {
                find(source, one.start, one.end, 0, blanks)?;
            }
            _ => {}
        }
    }
    let Some(items) = items else {
        // Without items it has nothing that a picture needs.
        empty(meta, blanks);
        return Ok(());
    };
    let mut content = |one: &Block| source.part(one.content, one.end - one.content, META_BYTES);
    let metadata = metadata_items(&mut Bytes(&content(&items)?))?;
    if metadata.is_empty() {
        return Ok(());
    }
    let places = places.ok_or(NotCleaned::Damaged)?;
    let places = content(&places)?;
    let size = source.size;
    for (item, place) in item_places(&mut Bytes(&places))? {
        let Some((_, is_exif)) = metadata.iter().find(|(id, _)| *id == item) else {
            continue;
        };
        let (base, end) = match place.within {
            0 => (0, size),
            1 => idat.ok_or(NotCleaned::Damaged)?,
            _ => return Err(NotCleaned::Damaged),
        };
        let from = base.checked_add(place.from).ok_or(NotCleaned::Damaged)?;
        let ends = from.checked_add(place.length).ok_or(NotCleaned::Damaged)?;
        // A length of zero means all there is, which is more than metadata.
        if place.length == 0 || ends > end || place.is_elsewhere {
            return Err(NotCleaned::Damaged);
        }
        let is_start = *is_exif && place.is_first;
        blanks.push(Blank {
            from,
            length: place.length,
            with: if is_start { EMPTY_EXIF } else { &[] },
        });
    }
    Ok(())
}

/// The items that are metadata, and whether they are Exif.
fn metadata_items(list: &mut Bytes<'_>) -> Result<Vec<(u32, bool)>, NotCleaned> {
    let version = list.number(1)?;
    list.number(3)?;
    let count = list.number(if version == 0 { 2 } else { 4 })?;
    let mut found = Vec::new();
    for _ in 0..count {
        let length = usize::try_from(list.number(4)?).map_err(|_| NotCleaned::Damaged)?;
        let mut entry = Bytes(list.take(length.checked_sub(4).ok_or(NotCleaned::Damaged)?)?);
        if entry.take(4)? != b"infe" {
            continue;
        }
        let version = entry.number(1)?;
        entry.number(3)?;
        let id = entry.number(if version == 3 { 4 } else { 2 })?;
        let id = u32::try_from(id).map_err(|_| NotCleaned::Damaged)?;
        entry.number(2)?;
        // Before version 2 items have a MIME type, as metadata has.
        let kind = if version < 2 { b"mime" } else { entry.take(4)? };
        if found.len() >= ITEMS {
            return Err(NotCleaned::Damaged);
        }
        if [b"Exif", b"mime", b"uri "]
            .iter()
            .any(|known| kind == *known)
        {
            found.push((id, kind == b"Exif"));
        }
    }
    Ok(found)
}

/// Where a part of an item is.
struct Place {
    from: u64,
    length: u64,
    is_first: bool,
    /// 0: the file, 1: the box `idat`, 2: another item.
    within: u64,
    /// In another file.
    is_elsewhere: bool,
}

fn item_places(list: &mut Bytes<'_>) -> Result<Vec<(u32, Place)>, NotCleaned> {
    let version = list.number(1)?;
    list.number(3)?;
    let sizes = list.number(2)?;
    let size = |shift: u32| usize::try_from((sizes >> shift) & 0xf).unwrap_or(usize::MAX);
    let (offset, length, base) = (size(12), size(8), size(4));
    let index = if version == 0 { 0 } else { size(0) };
    let wide = version == 2;
    let count = list.number(if wide { 4 } else { 2 })?;
    let mut places = Vec::new();
    for _ in 0..count {
        let id = list.number(if wide { 4 } else { 2 })?;
        let id = u32::try_from(id).map_err(|_| NotCleaned::Damaged)?;
        let within = if version == 0 {
            0
        } else {
            list.number(2)? & 0xf
        };
        let is_elsewhere = list.number(2)? != 0;
        let base = list.number(base)?;
        for extent in 0..list.number(2)? {
            if places.len() >= ITEMS {
                return Err(NotCleaned::Damaged);
            }
            list.number(index)?;
            let from = list.number(offset)?;
            places.push((
                id,
                Place {
                    from: base.checked_add(from).ok_or(NotCleaned::Damaged)?,
                    length: list.number(length)?,
                    is_first: extent == 0,
                    within,
                    is_elsewhere,
                },
            ));
        }
    }
    Ok(places)
}

/// The content of a box, read from its beginning.
struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    fn take(&mut self, length: usize) -> Result<&'a [u8], NotCleaned> {
        let (taken, rest) = self.0.split_at_checked(length).ok_or(NotCleaned::Damaged)?;
        self.0 = rest;
        Ok(taken)
    }

    /// A number of so many bytes, up to eight.
    fn number(&mut self, bytes: usize) -> Result<u64, NotCleaned> {
        if bytes > 8 {
            return Err(NotCleaned::Damaged);
        }
        let taken = self.take(bytes)?;
        Ok(taken
            .iter()
            .fold(0, |number, byte| number << 8 | u64::from(*byte)))
    }
}
