//! What of an X.509 certificate matters to who signs with it (RFC 5280, 4.1).

#![allow(clippy::redundant_closure_for_method_calls, reason = "the methods alone are for one lifetime, and closures for all")]

use std::net::IpAddr;

use rcgen::{DistinguishedName, DnType, DnValue};
use time::OffsetDateTime;
use yasna::{
    ASN1Error, ASN1ErrorKind, ASN1Result, BERReader, BERReaderSeq, Tag,
    models::ObjectIdentifier,
    tags::{TAG_GENERALIZEDTIME, TAG_IA5STRING, TAG_PRINTABLESTRING, TAG_UTCTIME, TAG_UTF8STRING},
};

use super::AltName;

/// What a certificate says.
pub(super) struct Certificate {
    pub(super) serial: Vec<u8>,
    /// Names, each in DER.
    pub(super) issuer: Vec<u8>,
    pub(super) subject: Vec<u8>,
    pub(super) begin: OffsetDateTime,
    pub(super) end: OffsetDateTime,
    /// The public key in DER, with its kind.
    pub(super) key: Vec<u8>,
    /// Whether basic constraints say that it is an authority's.
    pub(super) is_authority: bool,
    /// Whether key usage, where it is told, has keyCertSign.
    pub(super) may_sign: bool,
    /// Subject key identifier.
    pub(super) key_id: Option<Vec<u8>>,
    /// Subject alternative names in DER.
    pub(super) alternatives: Option<Vec<u8>>,
}

/// Identifiers of extensions (RFC 5280, 4.2.1).
const KEY_ID: [u64; 4] = [2, 5, 29, 14];
const KEY_USAGE: [u64; 4] = [2, 5, 29, 15];
const ALTERNATIVES: [u64; 4] = [2, 5, 29, 17];
const CONSTRAINTS: [u64; 4] = [2, 5, 29, 19];
/// keyCertSign is bit 5 of key usage, counted from the highest.
const CERT_SIGN: u8 = 0x80 >> 5;

/// Reads a certificate in DER. None of its signatures is verified.
pub(super) fn read(der: &[u8]) -> ASN1Result<Certificate> {
    yasna::parse_der(der, |reader| {
        reader.read_sequence(|reader| {
            let certificate = reader.next().read_sequence(to_be_signed)?;
            // The kind of signature, and the signature.
            reader.next().read_der()?;
            reader.next().read_bitvec_bytes()?;
            Ok(certificate)
        })
    })
}

fn to_be_signed(reader: &mut BERReaderSeq<'_, '_>) -> ASN1Result<Certificate> {
    reader.read_optional(|reader| reader.read_tagged(Tag::context(0), |reader| reader.read_u8()))?;
    let (serial, _) = reader.next().read_bigint_bytes()?;
    reader.next().read_der()?;
    let issuer = reader.next().read_der()?;
    let (begin, end) = reader.next().read_sequence(|reader| Ok((moment(reader.next())?, moment(reader.next())?)))?;
    let subject = reader.next().read_der()?;
    let key = reader.next().read_der()?;
    for identifier in [1, 2] {
        reader
            .read_optional(|reader| reader.read_tagged_implicit(Tag::context(identifier), |reader| reader.read_bitvec_bytes()))?;
    }
    let mut certificate = Certificate {
        serial,
        issuer,
        subject,
        begin,
        end,
        key,
        is_authority: false,
        may_sign: true,
        key_id: None,
        alternatives: None,
    };
    reader.read_optional(|reader| {
        reader.read_tagged(Tag::context(3), |reader| reader.read_sequence_of(|reader| extension(reader, &mut certificate)))
    })?;
    Ok(certificate)
}

fn extension(reader: BERReader<'_, '_>, certificate: &mut Certificate) -> ASN1Result<()> {
    let (kind, value) = reader.read_sequence(|reader| {
        let kind = reader.next().read_oid()?;
        reader.read_optional(|reader| reader.read_bool())?;
        Ok((kind, reader.next().read_bytes()?))
    })?;
    if is(&kind, &KEY_ID) {
        certificate.key_id = Some(yasna::parse_der(&value, |reader| reader.read_bytes())?);
    } else if is(&kind, &ALTERNATIVES) {
        certificate.alternatives = Some(value);
    } else if is(&kind, &KEY_USAGE) {
        let (bits, _) = yasna::parse_der(&value, |reader| reader.read_bitvec_bytes())?;
        certificate.may_sign = bits.first().is_some_and(|first| first & CERT_SIGN != 0);
    } else if is(&kind, &CONSTRAINTS) {
        certificate.is_authority = yasna::parse_der(&value, |reader| {
            reader.read_sequence(|reader| {
                let is_authority = reader.read_optional(|reader| reader.read_bool())?.unwrap_or(false);
                reader.read_optional(|reader| reader.read_u64())?;
                Ok(is_authority)
            })
        })?;
    }
    Ok(())
}

fn is(kind: &ObjectIdentifier, expected: &[u64]) -> bool {
    kind.components() == expected
}

fn moment(reader: BERReader<'_, '_>) -> ASN1Result<OffsetDateTime> {
    match reader.lookahead_tag()? {
        TAG_UTCTIME => Ok(*reader.read_utctime()?.datetime()),
        TAG_GENERALIZEDTIME => Ok(*reader.read_generalized_time()?.datetime()),
        _ => Err(ASN1Error::new(ASN1ErrorKind::Invalid)),
    }
}

/// The names and addresses that a certificate is for (RFC 5280, 4.2.1.6); names of other kinds are left out.
pub(super) fn alternative_names(der: &[u8]) -> ASN1Result<Vec<AltName>> {
    let Some(alternatives) = read(der)?.alternatives else { return Ok(Vec::new()) };
    let names = yasna::parse_der(&alternatives, |reader| {
        reader.collect_sequence_of(|reader| {
            let tag = reader.lookahead_tag()?;
            if tag == Tag::context(2) {
                Ok(AltName::dns(&reader.read_tagged_implicit(tag, |reader| reader.read_ia5_string())?))
            } else if tag == Tag::context(7) {
                let bytes = reader.read_tagged_implicit(tag, |reader| reader.read_bytes())?;
                let address = <[u8; 4]>::try_from(&*bytes).map(IpAddr::from);
                Ok(address.or_else(|_| <[u8; 16]>::try_from(&*bytes).map(IpAddr::from)).ok().map(AltName::Address))
            } else {
                reader.read_der().map(|_| None)
            }
        })
    })?;
    Ok(names.into_iter().flatten().collect())
}

/// A name, so that it can be written again.
///
/// # Errors
/// When it has parts of several values, or values in odd character sets. Whether it comes out byte by byte is for the caller to
/// see: a kind of part that is there twice does not.
pub(super) fn name(der: &[u8]) -> ASN1Result<DistinguishedName> {
    let mut name = DistinguishedName::new();
    yasna::parse_der(der, |reader| {
        reader.read_sequence_of(|reader| {
            reader.read_set_of(|reader| {
                let (kind, value) = reader.read_sequence(|reader| {
                    let kind = reader.next().read_oid()?;
                    Ok((kind, text(reader.next())?))
                })?;
                name.push(DnType::from_oid(kind.components()), value);
                Ok(())
            })
        })
    })?;
    Ok(name)
}

fn text(reader: BERReader<'_, '_>) -> ASN1Result<DnValue> {
    let odd = || ASN1Error::new(ASN1ErrorKind::Invalid);
    match reader.lookahead_tag()? {
        TAG_UTF8STRING => Ok(DnValue::Utf8String(reader.read_utf8string()?)),
        TAG_PRINTABLESTRING => Ok(DnValue::PrintableString(reader.read_printable_string()?.try_into().map_err(|_| odd())?)),
        TAG_IA5STRING => Ok(DnValue::Ia5String(reader.read_ia5_string()?.try_into().map_err(|_| odd())?)),
        _ => Err(odd()),
    }
}

/// A name for people: `CN=an authority, O=Tollgate`.
pub(super) fn shown(der: &[u8]) -> String {
    let Ok(name) = name(der) else { return "(a name that cannot be shown)".to_owned() };
    let part = |(kind, value): (&DnType, &DnValue)| {
        let kind = match kind {
            DnType::CommonName => "CN".to_owned(),
            DnType::OrganizationName => "O".to_owned(),
            DnType::OrganizationalUnitName => "OU".to_owned(),
            DnType::CountryName => "C".to_owned(),
            DnType::StateOrProvinceName => "ST".to_owned(),
            DnType::LocalityName => "L".to_owned(),
            other => format!("{other:?}"),
        };
        let value = match value {
            DnValue::Utf8String(text) => text.clone(),
            DnValue::PrintableString(text) => text.as_str().to_owned(),
            DnValue::Ia5String(text) => text.as_str().to_owned(),
            other => format!("{other:?}"),
        };
        format!("{kind}={}", value.escape_debug())
    };
    name.iter().map(part).collect::<Vec<_>>().join(", ")
}

/// The bits of a public key (RFC 5280, 4.1.2.7).
pub(super) fn key_bits(key: &[u8]) -> ASN1Result<Vec<u8>> {
    yasna::parse_der(key, |reader| {
        reader.read_sequence(|reader| {
            reader.next().read_der()?;
            Ok(reader.next().read_bitvec_bytes()?.0)
        })
    })
}
