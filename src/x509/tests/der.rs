//! X.690, as strictly as it is written.

use crate::time::Timestamp;
use crate::x509::der::{self, Error, Reader};

#[test]
fn elements_are_read_one_after_the_other() {
    let mut reader = Reader::new(&[0x02, 0x01, 0x05, 0x04, 0x00, 0x05, 0x00]);
    let first = reader.any().unwrap();
    assert_eq!(first.tag, der::INTEGER);
    assert_eq!(first.content, [5]);
    assert_eq!(first.raw, [0x02, 0x01, 0x05]);
    assert_eq!(reader.optional(der::NULL), Ok(None));
    assert_eq!(reader.content(der::OCTET_STRING), Ok(&[][..]));
    assert_eq!(
        reader.clone().content(der::INTEGER),
        Err(Error::UnexpectedTag {
            expected: der::INTEGER,
            found: der::NULL
        })
    );
    assert_eq!(reader.clone().end(), Err(Error::TrailingBytes(2)));
    assert_eq!(reader.optional(der::NULL), Ok(Some(&[][..])));
    assert!(reader.is_empty());
    assert_eq!(reader.optional(der::NULL), Ok(None));
    assert_eq!(reader.content(der::NULL), Err(Error::Truncated));
    assert_eq!(reader.end(), Ok(()));
}

#[test]
fn lengths_have_one_form_only() {
    let read = |header: &[u8], content: usize| {
        let bytes = [header, &vec![0; content]].concat();
        Reader::new(&bytes)
            .any()
            .map(|element| element.content.len())
    };
    assert_eq!(read(&[0x04, 0x7f], 0x7f), Ok(0x7f));
    assert_eq!(read(&[0x04, 0x81, 0x80], 0x80), Ok(0x80));
    assert_eq!(read(&[0x04, 0x82, 0x01, 0x00], 0x100), Ok(0x100));
    assert_eq!(
        read(&[0x04, 0x83, 0x01, 0x00, 0x00], 0x1_0000),
        Ok(0x1_0000)
    );
    assert_eq!(read(&[0x04, 0x80], 2), Err(Error::IndefiniteLength));
    assert_eq!(read(&[0x04, 0x81, 0x7f], 0x7f), Err(Error::LongLength));
    assert_eq!(
        read(&[0x04, 0x82, 0x00, 0x80], 0x80),
        Err(Error::LongLength)
    );
    assert_eq!(
        read(&[0x04, 0x85, 1, 0, 0, 0, 0], 9),
        Err(Error::LongLength)
    );
    assert_eq!(read(&[0x04, 0xff], 9), Err(Error::LongLength));
    assert_eq!(
        read(&[0x04, 0x84, 0xff, 0xff, 0xff, 0xff], 9),
        Err(Error::Truncated)
    );
    assert_eq!(read(&[0x04, 0x82, 0x01], 0), Err(Error::Truncated));
    assert_eq!(read(&[0x04, 0x02], 1), Err(Error::Truncated));
    assert_eq!(read(&[0x04], 0), Err(Error::Truncated));
    assert_eq!(read(&[0x1f, 0x01], 1), Err(Error::LongTag));
}

#[test]
fn what_is_written_reads_back_at_every_length() {
    for length in [0, 1, 0x7f, 0x80, 0xff, 0x100, 0xffff, 0x1_0000] {
        let content = vec![0xab; length];
        let element = der::encode(
            der::OCTET_STRING,
            &[&content[..length / 2], &content[length / 2..]],
        );
        assert_eq!(der::only(&element, der::OCTET_STRING), Ok(&content[..]));
    }
}

#[test]
fn integers_are_minimal() {
    for good in [
        &[0x00][..],
        &[0x7f],
        &[0x00, 0x80],
        &[0xff],
        &[0x80],
        &[0xff, 0x7f],
    ] {
        assert_eq!(der::integer(good), Ok(good));
    }
    for bad in [
        &[][..],
        &[0x00, 0x7f],
        &[0x00, 0x00],
        &[0xff, 0x80],
        &[0xff, 0xff, 0x01],
    ] {
        assert_eq!(der::integer(bad), Err(Error::Integer), "{bad:02x?}");
    }
    assert_eq!(der::small_integer(&[0x7f]), Ok(127));
    for bad in [&[][..], &[0x80], &[0x00, 0x80], &[0x01, 0x00]] {
        assert_eq!(der::small_integer(bad), Err(Error::Integer), "{bad:02x?}");
    }
}

#[test]
fn booleans_nulls_and_bit_strings_have_one_form_only() {
    assert_eq!(der::boolean(&[0x00]), Ok(false));
    assert_eq!(der::boolean(&[0xff]), Ok(true));
    for bad in [&[][..], &[0x01], &[0xff, 0xff]] {
        assert_eq!(der::boolean(bad), Err(Error::Boolean));
    }
    assert_eq!(der::null(&[]), Ok(()));
    assert_eq!(der::null(&[0]), Err(Error::Null));
    assert_eq!(der::bit_string(&[0x00, 0x12]), Ok(&[0x12][..]));
    assert_eq!(der::bit_string(&[]), Err(Error::BitString));
    assert_eq!(der::bit_string(&[0x01, 0x12]), Err(Error::BitString));
}

#[test]
fn object_identifiers_are_whole_and_shown_in_numbers() {
    let sha256 = [0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01];
    assert_eq!(der::object_identifier(&sha256), Ok(&sha256[..]));
    assert_eq!(der::dotted(&sha256), "2.16.840.1.101.3.4.2.1");
    assert_eq!(der::dotted(&[0x2b, 0x65, 0x70]), "1.3.101.112");
    assert_eq!(der::dotted(&[0x09, 0x01]), "0.9.1");
    assert_eq!(der::dotted(&[0x88, 0x37, 0x03]), "2.999.3");
    for bad in [&[][..], &[0x80, 0x01], &[0x2b, 0x80, 0x01], &[0x2b, 0x81]] {
        assert_eq!(der::object_identifier(bad), Err(Error::ObjectIdentifier));
    }
    // However long, a number ends somewhere.
    assert!(der::dotted(&[&[0xff; 300][..], &[0x01]].concat()).len() < 60);
}

#[test]
fn a_generalized_time_is_a_second_of_utc() {
    assert_eq!(
        der::generalized_time(b"20260115120000Z"),
        Ok(Timestamp::from_unix(1_768_478_400))
    );
    assert_eq!(
        der::generalized_time(b"20260115120000.999Z"),
        Err(Error::FractionalSeconds)
    );
    assert_eq!(
        der::generalized_time(b"00010101000000Z").map(|time| time.to_string()),
        Ok("0001-01-01T00:00:00Z".to_owned())
    );
}
