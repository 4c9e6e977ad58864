//! Formats of images, documents, films and sound, as Converse calls them, and as media types.

use bytestring::ByteString;
use weir_message::MediaKind;

/// Formats of documents and their media types.
const DOCUMENTS: &[(&str, &str)] = &[
    ("pdf", "application/pdf"),
    ("csv", "text/csv"),
    ("doc", "application/msword"),
    ("docx", "application/vnd.openxmlformats-officedocument.wordprocessingml.document"),
    ("xls", "application/vnd.ms-excel"),
    ("xlsx", "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"),
    ("html", "text/html"),
    ("txt", "text/plain"),
    ("md", "text/markdown"),
];

/// Formats of the others.
const IMAGES: &[&str] = &["png", "jpeg", "gif", "webp"];
const VIDEOS: &[&str] = &["mkv", "mov", "mp4", "webm", "flv", "mpeg", "mpg", "wmv", "three_gp"];
const SOUNDS: &[&str] = &[
    "mp3", "opus", "wav", "aac", "flac", "mp4", "ogg", "mkv", "mka", "x-aac", "m4a", "mpeg", "mpga", "pcm",
    "webm",
];

/// The media type of a format; one that is not known is told as it is.
pub(super) fn media_type(kind: MediaKind, format: &str) -> ByteString {
    match kind {
        MediaKind::Document => match DOCUMENTS.iter().find(|one| one.0 == format) {
            Some((_, media_type)) => ByteString::from_static(media_type),
            None => format.into(),
        },
        MediaKind::Video if format == "three_gp" => ByteString::from_static("video/3gpp"),
        kind => format!("{}/{format}", kind.name()).into(),
    }
}

/// The format of a media type, or of a bare format; `None` if Converse has none for it.
pub(super) fn format(kind: MediaKind, media_type: &str) -> Option<&'static str> {
    // `text/plain; charset=utf-8`
    let bare = media_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let end = bare.rsplit('/').next().unwrap_or_default();
    let known = |formats: &[&'static str]| {
        let end = match end {
            "jpg" => "jpeg",
            "x-wav" | "wave" | "vnd.wave" => "wav",
            "quicktime" => "mov",
            "x-matroska" => "mkv",
            "3gpp" => "three_gp",
            "x-flv" => "flv",
            "x-ms-wmv" => "wmv",
            other => other,
        };
        formats.iter().copied().find(|format| *format == end)
    };
    match kind {
        MediaKind::Image => known(IMAGES),
        MediaKind::Video => known(VIDEOS),
        MediaKind::Audio if end == "mpeg" => Some("mp3"),
        MediaKind::Audio => known(SOUNDS),
        MediaKind::Document => DOCUMENTS.iter().find(|one| one.0 == end || one.1 == bare).map(|one| one.0),
    }
}

/// The format of an image in Base64, by its first bytes.
pub(super) fn image_format(data: &str) -> &'static str {
    match data.as_bytes() {
        [b'/', b'9', b'j', b'/', ..] => "jpeg",
        [b'R', b'0', b'l', b'G', ..] => "gif",
        [b'U', b'k', b'l', b'G', ..] => "webp",
        _ => "png",
    }
}

/// The format that a document's name ends in.
pub(super) fn format_of_name(name: &str) -> Option<&'static str> {
    format(MediaKind::Document, name.rsplit_once('.')?.1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_and_media_types_are_each_others() {
        use MediaKind::{Audio, Document, Image, Video};
        for (kind, formats) in [(Image, IMAGES), (Video, VIDEOS)] {
            for one in formats {
                assert_eq!(format(kind, &media_type(kind, one)), Some(*one));
            }
        }
        for (one, _) in DOCUMENTS {
            assert_eq!(format(Document, &media_type(Document, one)), Some(*one));
        }
        let cases = [
            (Image, "image/jpg", Some("jpeg")),
            (Image, "image/bmp", None),
            (Audio, "audio/mpeg", Some("mp3")),
            (Audio, "wav", Some("wav")),
            (Video, "video/quicktime", Some("mov")),
            (Document, "text/plain; charset=utf-8", Some("txt")),
            (Document, "application/zip", None),
        ];
        for (kind, media_type, want) in cases {
            assert_eq!(format(kind, media_type), want, "{media_type}");
        }
        assert_eq!((format_of_name("a.b.MD"), format_of_name("pdf")), (Some("md"), None));
    }
}
