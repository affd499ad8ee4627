//! ZIP archives as NumPy writes them: members one behind the other, not compressed. Source: PKWARE APPNOTE 6.3.10,
//! §4.3.

use flate2::Crc;

/// Version 1.0 of the format is enough to read members that are not compressed.
const VERSION: u16 = 10;
/// 1 January 1980, the first day there is: the same members give the same archive, whenever it is made.
const DATE: u16 = (1 << 5) | 1;

/// An archive of these members, of names in ASCII.
///
/// # Panics
///
/// If it grows past what 32 bits address, or has more than 65,535 members.
pub(super) fn zip(members: impl IntoIterator<Item = (String, Vec<u8>)>) -> Vec<u8> {
    let (mut archive, mut directory, mut n_members) = (Vec::new(), Vec::new(), 0_u16);
    for (name, bytes) in members {
        let offset = length(archive.len());
        let mut crc = Crc::new();
        crc.update(&bytes);
        let header = common_header(&name, crc.sum(), length(bytes.len()));

        archive.extend(0x0403_4b50_u32.to_le_bytes());
        archive.extend(&header);
        archive.extend(name.as_bytes());
        archive.extend(bytes);

        directory.extend(0x0201_4b50_u32.to_le_bytes());
        directory.extend(VERSION.to_le_bytes());
        directory.extend(header);
        // no comment, on the first disk, of no known kind, without attributes
        directory.extend([0; 10]);
        directory.extend(offset.to_le_bytes());
        directory.extend(name.as_bytes());
        n_members = n_members.checked_add(1).expect("an archive has fewer than 65,536 members");
    }
    let start = length(archive.len());
    let size = length(directory.len());
    archive.extend(directory);
    archive.extend(0x0605_4b50_u32.to_le_bytes());
    archive.extend([0; 4]);
    archive.extend(n_members.to_le_bytes());
    archive.extend(n_members.to_le_bytes());
    archive.extend(size.to_le_bytes());
    archive.extend(start.to_le_bytes());
    archive.extend([0; 2]);
    archive
}

/// What a member's own header and the directory's say in the same words.
fn common_header(name: &str, crc: u32, size: u32) -> Vec<u8> {
    let mut header = Vec::new();
    // no flags, stored, at midnight
    for field in [VERSION, 0, 0, 0, DATE] {
        header.extend(field.to_le_bytes());
    }
    // compressed and not
    for field in [crc, size, size] {
        header.extend(field.to_le_bytes());
    }
    // without an extra field
    for field in [u16::try_from(name.len()).expect("names are short"), 0] {
        header.extend(field.to_le_bytes());
    }
    header
}

fn length(n_bytes: usize) -> u32 {
    u32::try_from(n_bytes).expect("an archive stays below 4 GiB")
}
