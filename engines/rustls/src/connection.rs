//! One connection: ciphertext in, ciphertext and plaintext out.

use std::io::{ErrorKind, Read, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList};
use rustls::client::Resumption;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConnection, Error, HandshakeKind, ProtocolVersion};

use crate::borrow;
use crate::config::Config;
use crate::failure::{failure, internal};
use crate::sessions::{Session, Store};
use crate::verifier::{Finding, take_finding};

/// Most bytes of ciphertext whose memory is kept after bulk traffic.
const KEPT: usize = 32 << 10;

/// One TLS connection of a client, before any policy.
///
/// The handshake goes on with each `feed`. Nothing leaves by itself: `take` gives what is to be sent, the
/// client's last flight too, so a caller that compares `verified_chain` with its pins first sends nothing
/// to a peer that it refuses.
#[pyclass(module = "pinio_rustls")]
pub struct Connection {
    tls: ClientConnection,
    store: Arc<Store>,
    finding: Option<Finding>,
    /// Ciphertext that waits until plaintext was read.
    incoming: Vec<u8>,
    taken: usize,
    closed: bool,
    dead: bool,
}

impl Connection {
    /// Runs `work`; a panic in it, or an error of TLS, ends the connection.
    fn guarded<R>(&mut self, work: impl FnOnce(&mut Self) -> Result<R, Error>) -> PyResult<R> {
        if self.dead {
            return Err(internal("the connection has failed"));
        }
        match catch_unwind(AssertUnwindSafe(|| work(self))) {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) => Err(failure(&error)),
            Err(_) => {
                self.dead = true;
                Err(internal("the TLS engine panicked"))
            }
        }
    }

    /// Takes in ciphertext until plaintext has to be read first; returns how much was taken.
    fn pump(&mut self, data: &[u8]) -> Result<usize, Error> {
        let mut left = data;
        while !left.is_empty() {
            match self.tls.read_tls(&mut left) {
                Ok(0) => break,
                Ok(_) => {}
                // Plaintext waits to be read.
                Err(error) if error.kind() == ErrorKind::Other => break,
                Err(error) => return Err(Error::General(error.to_string())),
            }
            let state = self.tls.process_new_packets();
            if let Some(finding) = take_finding() {
                self.finding = Some(finding);
            }
            if state?.peer_has_closed() {
                self.closed = true;
                left = &[]; // RFC 8446 section 6.1: data after the close_notify is ignored
            }
        }
        Ok(data.len() - left.len())
    }

    fn pump_waiting(&mut self) -> Result<bool, Error> {
        if self.taken == self.incoming.len() {
            return Ok(false);
        }
        let waiting = std::mem::take(&mut self.incoming);
        let pumped = self.pump(&waiting[self.taken..]);
        self.incoming = waiting;
        let count = pumped?;
        self.taken += count;
        if self.taken == self.incoming.len() {
            self.incoming.clear();
            self.incoming.shrink_to(KEPT);
            self.taken = 0;
        }
        Ok(count > 0)
    }

    /// Reads plaintext until `out` is full or there is no more for now.
    fn read_plain(&mut self, out: &mut [u8]) -> Result<usize, Error> {
        let mut filled = 0;
        while filled < out.len() {
            match self.tls.reader().read(&mut out[filled..]) {
                Ok(0) => break, // the peer has closed
                Ok(count) => filled += count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    if !self.pump_waiting()? {
                        break;
                    }
                }
                Err(error) => return Err(Error::General(error.to_string())),
            }
        }
        Ok(filled)
    }
}

#[pymethods]
impl Connection {
    /// `session` is offered if it can be. `name` is sent in clear (RFC 6066) unless it is an address.
    #[new]
    #[pyo3(signature = (config, name, session=None))]
    fn new(config: &Config, name: &str, session: Option<&Session>) -> PyResult<Self> {
        let name = ServerName::try_from(name.to_owned())
            .map_err(|_| PyValueError::new_err("the server name is no host name and no address"))?;
        let store = Arc::new(Store::new(
            config.hints.clone(),
            session.and_then(Session::offer),
        ));
        let mut tls = config.tls.clone();
        tls.resumption = Resumption::store(store.clone());
        let mut tls =
            ClientConnection::new(Arc::new(tls), name).map_err(|error| failure(&error))?;
        tls.set_buffer_limit(None); // the caller bounds what it writes, and takes it at once
        Ok(Self {
            tls,
            store,
            finding: None,
            incoming: Vec::new(),
            taken: 0,
            closed: false,
            dead: false,
        })
    }

    /// Takes in ciphertext. Raises `TLSFailure`; then `take` gives the alert that says so.
    fn feed(&mut self, data: &Bound<'_, PyAny>) -> PyResult<()> {
        borrow::read(data, |bytes| {
            self.guarded(|this| {
                if this.taken == this.incoming.len() {
                    let count = this.pump(bytes)?;
                    this.incoming.clear();
                    this.taken = 0;
                    this.incoming.extend_from_slice(&bytes[count..]);
                } else {
                    this.incoming.extend_from_slice(bytes);
                }
                Ok(())
            })
        })?
    }

    /// Reads plaintext of as many records as fit into a writable buffer; returns the number of bytes.
    ///
    /// 0 means that there is none for now, or no more: see `peer_closed`.
    fn read_into(&mut self, buffer: &Bound<'_, PyAny>) -> PyResult<usize> {
        borrow::write(buffer, |bytes| self.guarded(|this| this.read_plain(bytes)))?
    }

    /// Reads at most `size` bytes of plaintext.
    fn read<'py>(&mut self, py: Python<'py>, size: usize) -> PyResult<Bound<'py, PyBytes>> {
        let mut plain = vec![0; size];
        let count = self.guarded(|this| this.read_plain(&mut plain))?;
        Ok(PyBytes::new(py, &plain[..count]))
    }

    /// Encrypts plaintext; `take` gives it. Raises `TLSFailure` before the handshake is done.
    fn write(&mut self, data: &Bound<'_, PyAny>) -> PyResult<()> {
        if self.tls.is_handshaking() {
            return Err(internal("the handshake is not done"));
        }
        borrow::read(data, |bytes| {
            self.guarded(|this| {
                this.tls
                    .writer()
                    .write_all(bytes)
                    .map_err(|error| Error::General(error.to_string()))
            })
        })?
    }

    /// Takes the ciphertext that is to be sent.
    fn take<'py>(&mut self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        let mut out = Vec::new();
        while self.tls.wants_write() {
            self.tls
                .write_tls(&mut out)
                .map_err(|error| internal(error.to_string()))?;
        }
        Ok(PyBytes::new(py, &out))
    }

    /// Says that no more will be written (RFC 8446 section 6.1); `take` gives the alert.
    fn close_notify(&mut self) {
        self.tls.send_close_notify();
    }

    /// Whether there is ciphertext to send.
    #[getter]
    fn wants_write(&self) -> bool {
        self.tls.wants_write()
    }

    /// Whether the handshake still runs.
    #[getter]
    fn is_handshaking(&self) -> bool {
        self.tls.is_handshaking()
    }

    /// Whether the peer has sent its close_notify.
    #[getter]
    fn peer_closed(&self) -> bool {
        self.closed
    }

    /// Bytes of ciphertext that wait until plaintext was read.
    #[getter]
    fn waiting(&self) -> usize {
        self.incoming.len() - self.taken
    }

    /// The path that was verified, as DER, leaf first; None before, and on a resumed connection.
    ///
    /// With TLS 1.3 it is there once the peer has proven that it has the leaf's key. With TLS 1.2 likewise,
    /// and the peer's Finished may be missing still.
    #[getter]
    fn verified_chain<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyList>>> {
        self.finding
            .as_ref()
            .and_then(|found| found.path.as_ref())
            .map(|path| list(py, &path.chain))
            .transpose()
    }

    /// What the peer sent, as DER: nobody has verified it.
    #[getter]
    fn served_chain<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyList>>> {
        self.finding
            .as_ref()
            .map(|found| list(py, &found.served))
            .transpose()
    }

    /// Whether the handshake resumed a session.
    #[getter]
    fn resumed(&self) -> bool {
        self.tls.handshake_kind() == Some(HandshakeKind::Resumed)
    }

    /// The leaf that rustls knows; of a resumed session it is the old one.
    #[getter]
    fn leaf<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyBytes>> {
        self.tls
            .peer_certificates()?
            .first()
            .map(|leaf| PyBytes::new(py, leaf))
    }

    /// "TLSv1.2", "TLSv1.3", or None before it was agreed.
    #[getter]
    fn version(&self) -> Option<&'static str> {
        match self.tls.protocol_version()? {
            ProtocolVersion::TLSv1_3 => Some("TLSv1.3"),
            ProtocolVersion::TLSv1_2 => Some("TLSv1.2"),
            _ => None,
        }
    }

    /// The cipher suite's name, such as "TLS13_AES_256_GCM_SHA384".
    #[getter]
    fn cipher(&self) -> Option<String> {
        self.tls
            .negotiated_cipher_suite()
            .map(|suite| format!("{:?}", suite.suite()))
    }

    /// The key exchange group's name, such as "X25519MLKEM768".
    #[getter]
    fn group(&self) -> Option<String> {
        self.tls
            .negotiated_key_exchange_group()
            .map(|group| format!("{:?}", group.name()))
    }

    /// The protocol that ALPN chose.
    #[getter]
    fn alpn<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyBytes>> {
        self.tls.alpn_protocol().map(|name| PyBytes::new(py, name))
    }

    /// The newest session that the server gave, once; None if there is none.
    fn take_session(&self) -> Option<Session> {
        self.store.take()
    }

    /// Keying material (RFC 8446 section 7.5, RFC 5705).
    #[pyo3(signature = (label, size, context=None))]
    fn export<'py>(
        &mut self,
        py: Python<'py>,
        label: &[u8],
        size: usize,
        context: Option<&[u8]>,
    ) -> PyResult<Bound<'py, PyBytes>> {
        let material = self.guarded(|this| {
            this.tls
                .export_keying_material(vec![0; size], label, context)
        })?;
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
