//! Files that programs hand over, sealed already.

use super::preview;
use crate::{
    api::{self, Problem},
    content::{FILES, File},
    turn::EventError,
};

/// The files that a message brings, if all are well-formed.
pub(crate) fn sealed_files(sealed: &[api::SealedFile]) -> Result<Vec<File>, EventError> {
    let invalid = || EventError::Refused(Problem::AttachmentInvalid);
    if sealed.len() > FILES {
        return Err(invalid());
    }
    let hex = |text: &str| {
        let bytes = data_encoding::HEXLOWER.decode(text.as_bytes()).ok()?;
        <[u8; 32]>::try_from(bytes).ok()
    };
    let mut files = Vec::new();
    for one in sealed {
        let key = data_encoding::BASE64.decode(one.key.as_bytes()).ok();
        let file = File {
            blob: hex(&one.blob).ok_or_else(invalid)?,
            key: key
                .and_then(|key| key.try_into().ok())
                .ok_or_else(invalid)?,
            hash: hex(&one.sha256).ok_or_else(invalid)?,
            size: one.size,
            media_type: one.media_type.clone(),
            name: one.name.clone(),
            preview: Vec::new(),
        };
        // As others will read it.
        let mut file = File::from_part(&file.external()).ok_or_else(invalid)?;
        if let Some(preview) = &one.preview {
            file.preview = preview::made(preview).ok_or_else(invalid)?;
        }
        files.push(file);
    }
    Ok(files)
}
