// SPDX-License-Identifier: GPL-2.0

//! What is accepted, and with which error everything else is refused, and how early.

use crate::{
    driver::protocol::stream::{
        Error,
        ErrorClass,
        Identity,
        Parser,
        HEADER_LEN,
        IDENTITY_LEN, //
    },
    model::{
        self,
        Stream, //
    },
    samples::{
        read_all_ways,
        small,
        TableCrc,
        ACCEPTED,
        IDENTITY,
        MAX_RECORD,
        REQUIRED, //
    }, //
};

const TAG_IDENTITY: u32 = 0x5652_0001;
const TAG_CHECKSUM: u32 = 0x5652_0002;
const TAG_TRAILER: u32 = 0x5652_0003;
const TAG_UNKNOWN: u32 = 0x1234;

fn empty() -> Stream {
    Stream::default()
}

/// A stream with an identity in which `change` changed something.
fn identity_with(change: impl Fn(&mut Vec<u8>)) -> Stream {
    let mut payload = model::identity();
    change(&mut payload);
    empty().record(1, TAG_IDENTITY, &payload)
}

/// Checks that a stream is refused with `error`, by what its last record is, and no later.
#[track_caller]
fn refused(stream: Stream, error: Error) {
    let outcome = read_all_ways(REQUIRED, &stream.bytes);
    assert_eq!(outcome.result, Err(error));
    assert_eq!(outcome.bytes, stream.bytes.len() as u64);
}

#[test]
fn all_kinds_of_records() {
    let stream = empty()
        .identity()
        .checksum()
        .stop_copy_size(99)
        .data(b"a")
        .record(1, TAG_UNKNOWN, b"skip me")
        .record(1, TAG_UNKNOWN + 1, b"")
        .data(&[7; MAX_RECORD as usize])
        .checksum()
        .trailer();
    let outcome = read_all_ways(REQUIRED, &stream.bytes);
    assert_eq!(outcome.result, Ok(()));
    assert_eq!(outcome.identity, Some(IDENTITY));
    assert_eq!(outcome.estimates, [99]);
    assert_eq!(outcome.records, [vec![b'a'], vec![7; 4096]]);
    assert_eq!(outcome.skipped, [(TAG_UNKNOWN, 7), (TAG_UNKNOWN + 1, 0)]);
    assert!(outcome.ended);
    assert_eq!(read_all_ways(ACCEPTED, &stream.bytes), outcome);
}

#[test]
fn streams_of_the_drivers_of_the_kernel() {
    let stream = empty()
        .stop_copy_size(8192)
        .data(b"image")
        .record(1, TAG_UNKNOWN, b"new")
        .data(b"last image");
    let outcome = read_all_ways(ACCEPTED, &stream.bytes);
    assert_eq!(outcome.result, Ok(()));
    assert_eq!(outcome.identity, None);
    assert_eq!(outcome.estimates, [8192]);
    assert_eq!(outcome.state(), b"imagelast image");
    assert!(!outcome.ended);

    let outcome = read_all_ways(REQUIRED, &stream.bytes);
    assert_eq!(outcome.result, Err(Error::IdentityMissing));
    assert_eq!(outcome.bytes, HEADER_LEN as u64);

    for stream in [
        empty().data(b"image").checksum(),
        empty().data(b"image").trailer(),
    ] {
        let outcome = read_all_ways(ACCEPTED, &stream.bytes);
        assert_eq!(outcome.result, Err(Error::NotIdentified));
    }
    for stream in [empty(), empty().stop_copy_size(1)] {
        let outcome = read_all_ways(ACCEPTED, &stream.bytes);
        assert_eq!(outcome.result, Err(Error::NoData));
    }
    let cut = empty().data(b"image").header(5, 0, 0);
    let outcome = read_all_ways(ACCEPTED, &cut.bytes);
    assert_eq!(outcome.result, Err(Error::CutRecord));
    let late = empty().data(b"image").identity();
    let outcome = read_all_ways(ACCEPTED, &late.bytes);
    assert_eq!(outcome.result, Err(Error::IdentityMisplaced));
}

#[test]
fn headers_are_refused_at_once() {
    let start = || empty().identity();
    refused(start().header(MAX_RECORD + 1, 0, 0), Error::RecordTooLarge);
    refused(start().header(u64::MAX, 1, 77), Error::RecordTooLarge);
    refused(start().header(u64::MAX, 0, 77), Error::RecordTooLarge);
    refused(start().header(0, 0, 0), Error::EmptyData);
    refused(start().header(8, 0, TAG_UNKNOWN), Error::UnknownTag);
    refused(start().header(8, 2, TAG_UNKNOWN), Error::UnknownTag);
    refused(start().header(8, 3, TAG_UNKNOWN), Error::WrongFlags);
    refused(start().header(8, 1, 0), Error::WrongFlags);
    refused(start().header(8, 2, 0), Error::WrongFlags);
    for (tag, size) in [(1, 8), (TAG_CHECKSUM, 8), (TAG_TRAILER, 32)] {
        refused(start().header(size, 0, tag), Error::WrongFlags);
        refused(start().header(size, 1 | (1 << 31), tag), Error::WrongFlags);
        refused(start().header(size - 1, 1, tag), Error::WrongSize);
        refused(start().header(size + 1, 1, tag), Error::WrongSize);
        refused(start().header(0, 1, tag), Error::WrongSize);
    }
    refused(
        start().header(68, 1, TAG_IDENTITY),
        Error::IdentityMisplaced,
    );
    refused(empty().header(8, 0, 0), Error::IdentityMissing);
    refused(empty().header(8, 1, 1), Error::IdentityMissing);
    refused(empty().header(68, 0, TAG_IDENTITY), Error::WrongFlags);
    refused(empty().header(67, 1, TAG_IDENTITY), Error::WrongSize);
    refused(empty().header(69, 1, TAG_IDENTITY), Error::WrongSize);
}

#[test]
fn identities_are_refused() {
    refused(identity_with(|id| id[0] = b'v'), Error::BadMagic);
    refused(identity_with(|id| id[8] = 2), Error::UnknownVersion);
    refused(identity_with(|id| id[8] = 0), Error::UnknownVersion);
    refused(identity_with(|id| id[9] = 1), Error::UnknownVersion);
    refused(identity_with(|id| id[32] = 1), Error::UnknownFeature);
    refused(identity_with(|id| id[35] = 0x80), Error::UnknownFeature);
    refused(identity_with(|id| id[12] = 0), Error::BadName);
    refused(identity_with(|id| id[12..28].fill(0)), Error::BadName);
    refused(identity_with(|id| id[13] = b' '), Error::BadName);
    refused(identity_with(|id| id[13] = 0xc3), Error::BadName);
    refused(identity_with(|id| id[27] = b'x'), Error::BadName);
}

#[test]
fn a_newer_minor_version_is_read() {
    let stream = identity_with(|id| id[10] = 1).data(b"state").trailer();
    assert_eq!(read_all_ways(REQUIRED, &stream.bytes).result, Ok(()));
}

#[test]
fn a_name_may_fill_its_field() {
    let stream = identity_with(|id| id[12..28].fill(b'n'));
    let stream = stream.data(b"state").trailer();
    let identity = read_all_ways(REQUIRED, &stream.bytes).identity;
    assert_eq!(identity.map(|identity| identity.backend), Some([b'n'; 16]));
}

#[test]
fn identity_as_bytes() {
    assert_eq!(IDENTITY.encode()[..], model::identity());
    assert_eq!(Identity::decode(&model::identity()), Ok(IDENTITY));
    for length in [0, IDENTITY_LEN - 1, IDENTITY_LEN + 1] {
        let bytes = vec![0; length];
        assert_eq!(Identity::decode(&bytes), Err(Error::WrongSize));
    }
}

#[test]
fn checksums_and_trailers_are_refused() {
    let start = || empty().identity().data(b"state");
    let (bytes, records, data) = (start().bytes.len() as u64, 2, 5);

    refused(
        start().record(1, TAG_CHECKSUM, &[0; 8]),
        Error::ChecksumMismatch,
    );
    let mut stream = start().checksum();
    *stream.bytes.last_mut().unwrap() = 1;
    refused(stream, Error::ReservedNotZero);
    let mut stream = start().trailer();
    *stream.bytes.last_mut().unwrap() = 1;
    refused(stream, Error::ReservedNotZero);

    refused(
        start().record(1, TAG_TRAILER, &[0; 32]),
        Error::ChecksumMismatch,
    );
    for (bytes, records, data) in [
        (bytes - 1, records, data),
        (bytes, records + 1, data),
        (bytes, records, data + 1),
        (u64::MAX, u64::MAX, u64::MAX),
    ] {
        let stream = start().trailer_of(bytes, records, data);
        refused(stream, Error::TotalsMismatch);
    }
    refused(empty().identity().trailer(), Error::NoData);
    refused(
        empty().identity().data(b"state").checksum(),
        Error::TrailerMissing,
    );
}

#[test]
fn nothing_follows_the_trailer() {
    let mut stream = small();
    let length = stream.len() as u64;
    stream.push(0);
    let outcome = read_all_ways(REQUIRED, &stream);
    assert_eq!(outcome.result, Err(Error::AfterTrailer));
    assert_eq!(outcome.bytes, length);
    stream.pop();
    stream.extend(small());
    let outcome = read_all_ways(REQUIRED, &stream);
    assert_eq!(outcome.result, Err(Error::AfterTrailer));
}

#[test]
fn the_end_of_a_record_is_an_event_of_its_own() {
    let stream = empty().data(b"state").bytes;
    let mut parser = Parser::<TableCrc>::new(ACCEPTED);
    let mut input = &stream[..];
    while !input.is_empty() {
        assert!(parser.push(&mut input).is_ok());
    }
    // Whoever did not take that event has not got the whole record.
    assert_eq!(parser.finish(), Err(Error::CutRecord));
    assert!(parser.push(&mut input).is_ok());
    assert_eq!(parser.finish(), Ok(()));
}

#[test]
fn errors_say_what_they_are() {
    for error in Error::ALL {
        assert!(!error.describe().is_empty());
        let same = |other: &&Error| other.describe() == error.describe();
        assert_eq!(Error::ALL.iter().filter(same).count(), 1);
    }
    for class in [
        ErrorClass::Invalid,
        ErrorClass::TooLarge,
        ErrorClass::Incompatible,
        ErrorClass::Corrupt,
        ErrorClass::Incomplete,
    ] {
        assert!(Error::ALL.iter().any(|error| error.class() == class));
    }
}
