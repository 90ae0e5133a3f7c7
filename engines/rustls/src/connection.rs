//! One connection, as Python sees it.

use std::sync::Arc;

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{HandshakeKind, ProtocolVersion};

use crate::borrow;
use crate::config::Config;
use crate::engine::{Engine, contained};
use crate::failure::raised;
use crate::sessions::{Session, Store};

/// Most bytes of keying material, and of its context (RFC 5705 section 4).
const MOST_EXPORTED: usize = 0xffff;
/// Most bytes of an exporter's label: with TLS 1.3's prefix it fills a byte (RFC 8446 section 7.1).
const MOST_LABEL: usize = 255 - "tls13 ".len();

/// One TLS connection of a client, before any policy.
///
/// The handshake goes on with each `feed`. Nothing leaves by itself: `take` gives what is to be
/// sent, the client's last flight too, so a caller that compares `verified_chain` with its pins
/// first sends nothing to a peer that it refuses.
#[pyclass(module = "pinio_rustls")]
pub struct Connection(Engine);

#[pymethods]
impl Connection {
    /// `session` is offered if it can be. `name` is sent in clear (RFC 6066) unless it is an
    /// address.
    #[new]
    #[pyo3(signature = (config, name, session=None))]
    fn new(config: &Config, name: &str, session: Option<&Session>) -> PyResult<Self> {
        let name = ServerName::try_from(name.to_owned())
            .map_err(|_| PyValueError::new_err("the server name is no host name and no address"))?;
        let offered = session.and_then(|session| session.offer(&name));
        let store = Arc::new(Store::new(config.hints.clone(), offered));
        contained(|| Ok(Engine::new(&config.tls, name, store)?))
            .map(Self)
            .map_err(raised)
    }

    /// Takes in ciphertext. Raises `TLSFailure`; then `take` gives the alert that says so.
    ///
    /// Raises `BufferError`, and takes in nothing, while more than a mebibyte waits to be read.
    fn feed(&mut self, data: &Bound<'_, PyAny>) -> PyResult<()> {
        borrow::read(data, |bytes| self.0.feed(bytes))?.map_err(raised)
    }

    /// Reads plaintext of as many records as fit into a writable buffer; returns the number of
    /// bytes.
    ///
    /// 0 means that there is none for now, or no more: see `peer_closed`.
    fn read_into(&mut self, buffer: &Bound<'_, PyAny>) -> PyResult<usize> {
        borrow::write(buffer, |bytes| self.0.read(bytes))?.map_err(raised)
    }

    /// Reads at most `size` bytes of plaintext.
    fn read<'py>(&mut self, py: Python<'py>, size: usize) -> PyResult<Bound<'py, PyBytes>> {
        let plain = self.0.read_some(size).map_err(raised)?;
        Ok(PyBytes::new(py, &plain))
    }

    /// Encrypts plaintext; `take` gives it. Raises `TLSFailure` before the handshake is done.
    fn write(&mut self, data: &Bound<'_, PyAny>) -> PyResult<()> {
        borrow::read(data, |bytes| self.0.write(bytes))?.map_err(raised)
    }

    /// Takes the ciphertext that is to be sent; after a failure the alert at most.
    fn take<'py>(&mut self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &self.0.take())
    }

    /// Says that no more will be written (RFC 8446 section 6.1); `take` gives the alert.
    fn close_notify(&mut self) -> PyResult<()> {
        self.0.close_notify().map_err(raised)
    }

    /// Whether there is ciphertext to send.
    #[getter]
    fn wants_write(&self) -> bool {
        self.0.wants_write()
    }

    /// Whether the handshake still runs.
    #[getter]
    fn is_handshaking(&self) -> bool {
        self.0.tls.is_handshaking()
    }

    /// Whether the peer has sent its close_notify.
    #[getter]
    fn peer_closed(&self) -> bool {
        self.0.peer_closed
    }

    /// Bytes of plaintext that can be read at once.
    #[getter]
    fn readable(&self) -> usize {
        self.0.readable
    }

    /// Bytes of ciphertext that wait until plaintext was read.
    #[getter]
    fn waiting(&self) -> usize {
        self.0.waiting()
    }

    /// The path that was verified, as DER, leaf first; None before, on a resumed connection, and
    /// after a failure.
    ///
    /// It is there once the peer's signature over the handshake has proven that it has the leaf's
    /// key. The peer's Finished may still be missing then.
    #[getter]
    fn verified_chain<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyList>>> {
        self.0
            .finding
            .as_ref()
            .and_then(|found| found.path.as_ref())
            .map(|path| list(py, &path.chain))
            .transpose()
    }

    /// What the peer sent, as DER; nothing was verified about it.
    #[getter]
    fn served_chain<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyList>>> {
        self.0
            .finding
            .as_ref()
            .map(|found| list(py, &found.served))
            .transpose()
    }

    /// Whether the handshake resumed a session.
    #[getter]
    fn resumed(&self) -> bool {
        self.0.tls.handshake_kind() == Some(HandshakeKind::Resumed)
    }

    /// The leaf that rustls knows; of a resumed session it is the old one.
    #[getter]
    fn leaf<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyBytes>> {
        self.0
            .tls
            .peer_certificates()?
            .first()
            .map(|leaf| PyBytes::new(py, leaf))
    }

    /// "TLSv1.2", "TLSv1.3", or None before it was agreed.
    #[getter]
    fn version(&self) -> Option<&'static str> {
        match self.0.tls.protocol_version()? {
            ProtocolVersion::TLSv1_3 => Some("TLSv1.3"),
            ProtocolVersion::TLSv1_2 => Some("TLSv1.2"),
            _ => None,
        }
    }

    /// The cipher suite's name, such as "TLS13_AES_256_GCM_SHA384".
    #[getter]
    fn cipher(&self) -> Option<String> {
        self.0
            .tls
            .negotiated_cipher_suite()
            .map(|suite| format!("{:?}", suite.suite()))
    }

    /// The key exchange group's name, such as "X25519MLKEM768".
    #[getter]
    fn group(&self) -> Option<String> {
        self.0
            .tls
            .negotiated_key_exchange_group()
            .map(|group| format!("{:?}", group.name()))
    }

    /// The protocol that ALPN chose.
    #[getter]
    fn alpn<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyBytes>> {
        self.0
            .tls
            .alpn_protocol()
            .map(|name| PyBytes::new(py, name))
    }

    /// The newest session that the server gave, once; None if there is none.
    fn take_session(&self) -> Option<Session> {
        self.0.store.take()
    }

    /// Keying material (RFC 8446 section 7.5, RFC 5705). Raises `TLSFailure` before the handshake
    /// is done.
    #[pyo3(signature = (label, size, context=None))]
    fn export<'py>(
        &mut self,
        py: Python<'py>,
        label: &[u8],
        size: usize,
        context: Option<&[u8]>,
    ) -> PyResult<Bound<'py, PyBytes>> {
        if !(1..=MOST_EXPORTED).contains(&size) {
            return Err(PyValueError::new_err("the size is not within 1 to 65535"));
        }
        if !(1..=MOST_LABEL).contains(&label.len()) {
            return Err(PyValueError::new_err(
                "the label is not 1 to 249 bytes long",
            ));
        }
        if context.is_some_and(|context| context.len() > MOST_EXPORTED) {
            return Err(PyValueError::new_err(
                "the context is longer than 65535 bytes",
            ));
        }
        let material = self.0.export(label, size, context).map_err(raised)?;
        Ok(PyBytes::new(py, &material))
    }
}

fn list<'py>(py: Python<'py>, chain: &[CertificateDer<'_>]) -> PyResult<Bound<'py, PyList>> {
    PyList::new(
        py,
        chain
            .iter()
            .map(|certificate| PyBytes::new(py, certificate)),
    )
}
