//! Against rustls's own server, which does what Python's `ssl` cannot: a wrong key, key updates.

use std::io::{Read, Write};
use std::sync::Arc;

use rcgen::{CertificateParams, KeyPair};
use rustls::client::ClientSessionStore;
use rustls::crypto::aws_lc_rs::{default_provider, kx_group, sign::any_supported_type};
use rustls::crypto::{CryptoProvider, SupportedKxGroup};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::ResolvesServerCert;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::version::{TLS12, TLS13};
use rustls::{ServerConfig, ServerConnection, SupportedProtocolVersion};

use super::*;
use crate::config::Config;
use crate::sessions::Hints;

const VERSIONS: [&SupportedProtocolVersion; 2] = [&TLS12, &TLS13];
const NAME: &str = "server.test";

/// A self-signed certificate for [`NAME`], and its key.
fn own() -> (CertificateDer<'static>, KeyPair) {
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec![NAME.to_owned()]).unwrap();
    (params.self_signed(&key).unwrap().der().clone(), key)
}

fn server(
    certificate: &CertificateDer<'static>,
    key: &KeyPair,
    version: &'static SupportedProtocolVersion,
    groups: Vec<&'static dyn SupportedKxGroup>,
) -> ServerConnection {
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let key = any_supported_type(&key).unwrap();
    let shown = CertifiedKey::new(vec![certificate.clone()], key); // does not compare the two
    let resolver: Arc<dyn ResolvesServerCert> = Arc::new(SingleCertAndKey::from(shown));
    let provider = CryptoProvider {
        kx_groups: groups,
        ..default_provider()
    };
    let config = ServerConfig::builder_with_provider(provider.into())
        .with_protocol_versions(&[version])
        .unwrap()
        .with_no_client_auth()
        .with_cert_resolver(resolver);
    ServerConnection::new(Arc::new(config)).unwrap()
}

fn config(anchor: Option<&CertificateDer<'_>>) -> Config {
    let anchors = anchor.map(|anchor| vec![anchor.to_vec()]);
    Config::build(anchors, vec![], None, (true, true), true).unwrap()
}

fn client(config: &Config) -> Engine {
    let store = Arc::new(Store::new(config.hints.clone(), None));
    Engine::new(&config.tls, name(), store).unwrap()
}

fn name() -> ServerName<'static> {
    ServerName::try_from(NAME).unwrap()
}

/// What the server has to say to `sent`.
fn answer(server: &mut ServerConnection, sent: &[u8]) -> Vec<u8> {
    let mut left = sent;
    while !left.is_empty() {
        server.read_tls(&mut left).unwrap();
        server.process_new_packets().unwrap();
    }
    let mut said = Vec::new();
    while server.wants_write() {
        server.write_tls(&mut said).unwrap();
    }
    said
}

fn shake_hands(client: &mut Engine, server: &mut ServerConnection) -> Result<(), Broken> {
    loop {
        let sent = client.take();
        let said = answer(server, &sent);
        if sent.is_empty() && said.is_empty() {
            return Ok(());
        }
        client.feed(&said)?;
    }
}

#[test]
fn a_server_without_the_key_of_its_certificate_is_refused_under_each_trust() {
    let (certificate, key) = own();
    for version in VERSIONS {
        for anchor in [Some(&certificate), None] {
            let config = config(anchor);
            let mut genuine = server(&certificate, &key, version, default_provider().kx_groups);
            let mut first = client(&config);
            shake_hands(&mut first, &mut genuine).unwrap();
            assert!(first.finding.unwrap().path.is_some()); // and its path is remembered

            let mut thief = server(
                &certificate,
                &KeyPair::generate().unwrap(),
                version,
                default_provider().kx_groups,
            );
            let mut second = client(&config);
            let refusal = shake_hands(&mut second, &mut thief).unwrap_err();
            assert!(
                matches!(
                    refusal,
                    Broken::Tls(Error::InvalidCertificate(
                        rustls::CertificateError::BadSignature
                    ))
                ),
                "{refusal:?}"
            );
            let finding = second.finding.as_ref().unwrap();
            assert!(finding.path.is_none());
            assert_eq!(
                finding.served.as_slice(),
                std::slice::from_ref(&certificate)
            );
            assert!(matches!(second.feed(b""), Err(Broken::Before)));
        }
    }
}

#[test]
fn keys_are_updated_at_every_write_of_either_side() {
    let (certificate, key) = own();
    let mut server = server(&certificate, &key, &TLS13, default_provider().kx_groups);
    let mut client = client(&config(Some(&certificate)));
    shake_hands(&mut client, &mut server).unwrap();
    let exported = server.export_keying_material([0; 32], b"EXPORTER", Some(b"context"));
    assert_eq!(
        client.export(b"EXPORTER", 32, Some(b"context")).unwrap(),
        exported.unwrap()
    );
    for turn in 0..50_u8 {
        server.refresh_traffic_keys().unwrap();
        client.tls.refresh_traffic_keys().unwrap();
        client.write(&[turn; 40_000]).unwrap();
        server.writer().write_all(&[turn; 3_000]).unwrap();
        let sent = client.take();
        client.feed(&answer(&mut server, &[])).unwrap();
        assert_eq!(client.read_some(100_000).unwrap(), [turn; 3_000]);
        let (mut left, mut received) = (sent.as_slice(), Vec::new());
        while !left.is_empty() {
            server.read_tls(&mut left).unwrap();
            server.process_new_packets().unwrap();
            let mut room = [0; 16 << 10];
            while let Ok(count) = server.reader().read(&mut room) {
                received.extend_from_slice(&room[..count]);
            }
        }
        assert_eq!(received, [turn; 40_000]);
    }
}

#[test]
fn key_updates_without_data_come_to_an_end() {
    let (certificate, key) = own();
    let mut server = server(&certificate, &key, &TLS13, default_provider().kx_groups);
    let mut client = client(&config(Some(&certificate)));
    shake_hands(&mut client, &mut server).unwrap();
    let ended = (0..100).find_map(|_| {
        server.refresh_traffic_keys().unwrap();
        client.feed(&answer(&mut server, &[])).err()
    });
    assert!(matches!(ended, Some(Broken::Tls(_))), "{ended:?}");
}

#[test]
fn a_group_is_a_hint_once_a_handshake_that_chose_it_is_done() {
    let (certificate, key) = own();
    let config = config(Some(&certificate));
    let hint = |hints: &Arc<Hints>| Store::new(hints.clone(), None).kx_hint(&name());
    let (stranger, strange_key) = own();
    let classical = vec![kx_group::SECP256R1];
    let mut attacker = server(&stranger, &strange_key, &TLS13, classical.clone());
    shake_hands(&mut client(&config), &mut attacker).unwrap_err();
    assert_eq!(hint(&config.hints), None);
    let mut genuine = server(&certificate, &key, &TLS13, classical);
    shake_hands(&mut client(&config), &mut genuine).unwrap();
    assert_eq!(hint(&config.hints), Some(kx_group::SECP256R1.name()));
}

#[test]
fn a_panic_ends_the_connection_and_leaves_nothing_to_send() {
    let (certificate, key) = own();
    let mut server = server(&certificate, &key, &TLS12, default_provider().kx_groups);
    let mut client = client(&config(Some(&certificate)));
    let flight = answer(&mut server, &client.take());
    client.feed(&flight).unwrap();
    assert!(client.wants_write() && client.finding.as_ref().unwrap().path.is_some());
    let result = client.guarded(|_| -> Result<(), Broken> { panic!("on purpose") });
    assert!(matches!(result, Err(Broken::Panicked)));
    assert!(!client.wants_write() && client.take().is_empty());
    assert!(client.finding.as_ref().unwrap().path.is_none());
    assert!(matches!(client.feed(b"x"), Err(Broken::Before)));
    assert!(matches!(client.read(&mut [0; 9]), Err(Broken::Before)));
    assert!(matches!(client.write(b"x"), Err(Broken::Before)));
    assert!(matches!(client.export(b"x", 9, None), Err(Broken::Before)));
    assert!(matches!(client.close_notify(), Err(Broken::Before)));
}

#[test]
fn ciphertext_that_waits_is_bounded_though_it_never_runs_dry() {
    let (certificate, key) = own();
    let mut server = server(&certificate, &key, &TLS13, default_provider().kx_groups);
    let mut client = client(&config(Some(&certificate)));
    shake_hands(&mut client, &mut server).unwrap();
    let (mut expected, mut next) = (0_u8, 0_u8);
    for _ in 0..300 {
        server.writer().write_all(&[next; 10_000]).unwrap();
        client.feed(&answer(&mut server, &[])).unwrap();
        next = next.wrapping_add(1);
        if client.waiting() > 100_000 {
            assert_eq!(client.read_some(10_000).unwrap(), [expected; 10_000]);
            expected = expected.wrapping_add(1);
            assert!(client.waiting() > 0 && client.incoming.len() < 200_000);
        }
    }
    let before = loop {
        server.writer().write_all(&[0; 10_000]).unwrap();
        let before = client.waiting();
        match client.feed(&answer(&mut server, &[])) {
            Ok(()) => assert!(client.waiting() <= MOST_WAITING + 11_000),
            Err(error) => {
                assert!(matches!(error, Broken::Full));
                break before;
            }
        }
    };
    assert_eq!(client.waiting(), before);
    assert_eq!(client.read_some(10_000).unwrap(), [expected; 10_000]);
}

#[test]
fn an_alert_leaves_alone_or_not_at_all() {
    let record =
        |kind: u8, length: u8| [&[kind, 3, 3, 0, length][..], &vec![0; length.into()]].concat();
    let (clear, sealed) = (record(21, 2), record(23, 19));
    let (compat, hello, finished) = (record(20, 1), record(22, 90), record(23, 53));
    assert_eq!(alert_alone(&clear).as_ref(), Some(&clear));
    assert_eq!(alert_alone(&sealed).as_ref(), Some(&sealed));
    assert_eq!(
        alert_alone(&[&compat[..], &sealed].concat()).as_ref(),
        Some(&sealed)
    );
    for kept in [
        vec![],
        finished.clone(),
        [&compat[..], &finished].concat(),
        [&finished[..], &sealed].concat(),
        [&hello[..], &compat, &record(22, 40), &record(21, 26)].concat(),
        [&sealed[..], &finished].concat(),
        sealed[..20].to_vec(),
    ] {
        assert_eq!(alert_alone(&kept), None, "{kept:?}");
    }
}
