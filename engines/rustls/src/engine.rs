//! One connection in Rust alone: ciphertext in, ciphertext and plaintext out.
//!
//! A connection that has failed stays so: each later call fails, and all that still comes out of it
//! is the alert. What was queued before the failure, the client's certificate perhaps, is dropped:
//! the caller may never have permitted it.

use std::io::{ErrorKind, Read, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use rustls::client::Resumption;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, Error};

use crate::sessions::Store;
use crate::verifier::{Finding, observed};

/// Bytes of ciphertext that may wait before no more is taken in.
pub const MOST_WAITING: usize = 1 << 20;
/// Most bytes of ciphertext whose memory is kept after bulk traffic.
const KEPT: usize = 32 << 10;
/// Steps in which the room for plaintext grows.
const STEP: usize = 16 << 10;

/// Why a call did not succeed.
#[derive(Debug)]
pub enum Broken {
    /// TLS failed now, and the connection with it.
    Tls(Error),
    /// The connection had failed before.
    Before,
    /// The engine panicked, and the connection failed.
    Panicked,
    /// The caller may not do this now; the connection goes on.
    NotNow(&'static str),
    /// More than [`MOST_WAITING`] bytes wait already; nothing was taken in.
    Full,
}

/// Runs `work`; a panic in it is an error.
pub fn contained<R>(work: impl FnOnce() -> Result<R, Broken>) -> Result<R, Broken> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or(Err(Broken::Panicked))
}

impl From<Error> for Broken {
    fn from(error: Error) -> Self {
        Self::Tls(error)
    }
}

/// The state of one connection.
pub struct Engine {
    /// What rustls knows.
    pub tls: ClientConnection,
    /// The sessions that are offered and received.
    pub store: Arc<Store>,
    /// What the verification found.
    pub finding: Option<Finding>,
    /// Whether the peer has sent its close_notify.
    pub peer_closed: bool,
    /// Bytes of plaintext that can be read at once.
    pub readable: usize,
    /// Ciphertext that waits until plaintext was read; the first `taken` bytes were taken in.
    incoming: Vec<u8>,
    taken: usize,
    /// Whether the caller has said that it writes no more.
    ended: bool,
    /// Plaintext that was decrypted before the connection failed.
    rest: Vec<u8>,
    /// The alert that is left of a connection that has failed.
    last_words: Option<Vec<u8>>,
}

impl Engine {
    /// A connection to `name` that offers what `store` holds.
    pub fn new(
        config: &ClientConfig,
        name: ServerName<'static>,
        store: Arc<Store>,
    ) -> Result<Self, Error> {
        let mut config = config.clone();
        config.resumption = Resumption::store(store.clone());
        let mut tls = ClientConnection::new(Arc::new(config), name)?;
        tls.set_buffer_limit(None); // the caller bounds what it writes, and takes it at once
        Ok(Self {
            tls,
            store,
            finding: None,
            peer_closed: false,
            readable: 0,
            rest: Vec::new(),
            incoming: Vec::new(),
            taken: 0,
            ended: false,
            last_words: None,
        })
    }

    /// Takes in ciphertext.
    pub fn feed(&mut self, data: &[u8]) -> Result<(), Broken> {
        self.guarded(|this| {
            if this.peer_closed {
                return Ok(()); // RFC 8446 section 6.1: data after the close_notify is ignored
            }
            if this.waiting() > MOST_WAITING {
                return Err(Broken::Full);
            }
            let mut rest = data;
            if this.waiting() == 0 {
                rest = &data[this.pump(data)?..];
            }
            this.incoming.drain(..this.taken);
            this.taken = 0;
            this.incoming.extend_from_slice(rest);
            Ok(())
        })
    }

    /// Reads plaintext until `out` is full or there is no more for now.
    ///
    /// What was decrypted before a connection failed can still be read: its records were authentic.
    pub fn read(&mut self, out: &mut [u8]) -> Result<usize, Broken> {
        if self.last_words.is_some() && self.readable > 0 {
            let count = out.len().min(self.rest.len());
            out[..count].copy_from_slice(&self.rest[..count]);
            self.rest.drain(..count);
            self.readable = self.rest.len();
            return Ok(count);
        }
        self.guarded(|this| this.read_plain(out))
    }

    /// Reads at most `size` bytes of plaintext.
    pub fn read_some(&mut self, size: usize) -> Result<Vec<u8>, Broken> {
        if self.last_words.is_some() && self.readable > 0 {
            let mut plain = vec![0; size.min(self.readable)];
            let count = self.read(&mut plain)?;
            plain.truncate(count);
            return Ok(plain);
        }
        self.guarded(|this| {
            let mut plain = Vec::new();
            while plain.len() < size {
                let at = plain.len();
                plain.resize(at + STEP.min(size - at), 0);
                let count = this.read_plain(&mut plain[at..])?;
                plain.truncate(at + count);
                if count == 0 {
                    break;
                }
            }
            Ok(plain)
        })
    }

    /// Encrypts plaintext.
    pub fn write(&mut self, data: &[u8]) -> Result<(), Broken> {
        self.guarded(|this| {
            if this.tls.is_handshaking() {
                return Err(Broken::NotNow("the handshake is not done"));
            }
            if this.ended {
                return Err(Broken::NotNow("close_notify was called"));
            }
            let written = this.tls.writer().write_all(data);
            written.map_err(|error| Error::General(error.to_string()).into())
        })
    }

    /// Takes the ciphertext that is to be sent.
    pub fn take(&mut self) -> Vec<u8> {
        if let Some(alert) = &mut self.last_words {
            return std::mem::take(alert);
        }
        self.guarded(|this| Ok(this.drained())).unwrap_or_default()
    }

    /// Says that no more will be written.
    pub fn close_notify(&mut self) -> Result<(), Broken> {
        self.guarded(|this| {
            this.ended = true;
            this.tls.send_close_notify();
            Ok(())
        })
    }

    /// Keying material (RFC 8446 section 7.5, RFC 5705).
    pub fn export(
        &mut self,
        label: &[u8],
        size: usize,
        context: Option<&[u8]>,
    ) -> Result<Vec<u8>, Broken> {
        self.guarded(|this| {
            if this.tls.is_handshaking() {
                return Err(Broken::NotNow("the handshake is not done"));
            }
            let material = vec![0; size];
            Ok(this.tls.export_keying_material(material, label, context)?)
        })
    }

    /// Whether there is ciphertext to send.
    pub fn wants_write(&self) -> bool {
        match &self.last_words {
            Some(alert) => !alert.is_empty(),
            None => self.tls.wants_write(),
        }
    }

    /// Bytes of ciphertext that wait until plaintext was read.
    pub fn waiting(&self) -> usize {
        self.incoming.len() - self.taken
    }

    /// Runs `work`; an error of TLS or a panic in it ends the connection.
    fn guarded<R>(
        &mut self,
        work: impl FnOnce(&mut Self) -> Result<R, Broken>,
    ) -> Result<R, Broken> {
        if self.last_words.is_some() {
            return Err(Broken::Before);
        }
        let result = contained(|| work(self));
        match &result {
            Err(Broken::Tls(_)) => {
                let queued = contained(|| Ok(self.drained()));
                self.fail(queued.ok().and_then(|queued| alert_alone(&queued)));
                self.keep_rest();
            }
            Err(Broken::Panicked) => {
                self.fail(None);
                self.readable = 0;
            }
            _ => {}
        }
        result
    }

    /// Keeps what was decrypted before the failure: at most what one `feed` brought.
    fn keep_rest(&mut self) {
        let mut rest = Vec::new();
        if !self.tls.is_handshaking() {
            let _ = contained(|| {
                let _ = self.tls.reader().read_to_end(&mut rest); // ends where nothing is left
                Ok(())
            });
        }
        self.readable = rest.len();
        self.rest = rest;
    }

    fn fail(&mut self, alert: Option<Vec<u8>>) {
        self.last_words = Some(alert.unwrap_or_default());
        self.incoming = Vec::new();
        self.taken = 0;
        if let Some(finding) = &mut self.finding {
            finding.path = None;
        }
    }

    /// Takes in ciphertext until plaintext has to be read first; returns how much was taken.
    ///
    /// Each turn takes at least one byte of `data`, or is the last.
    fn pump(&mut self, data: &[u8]) -> Result<usize, Broken> {
        let mut left = data;
        while !left.is_empty() {
            match self.tls.read_tls(&mut left) {
                Ok(0) => break,
                Ok(_) => {}
                // Plaintext waits to be read.
                Err(error) if error.kind() == ErrorKind::Other => break,
                Err(error) => return Err(Error::General(error.to_string()).into()),
            }
            let (state, finding) = observed(|| self.tls.process_new_packets());
            if finding.is_some() {
                self.finding = finding;
            }
            let state = state?;
            self.readable = state.plaintext_bytes_to_read();
            if state.peer_has_closed() {
                self.peer_closed = true;
                left = &[];
            }
        }
        if !self.tls.is_handshaking() {
            self.store.handshake_done();
        }
        Ok(data.len() - left.len())
    }

    fn pump_waiting(&mut self) -> Result<bool, Broken> {
        if self.waiting() == 0 {
            return Ok(false);
        }
        let waiting = std::mem::take(&mut self.incoming);
        let pumped = self.pump(&waiting[self.taken..]);
        self.incoming = waiting;
        let count = pumped?;
        self.taken += count;
        if self.waiting() == 0 {
            self.incoming.clear();
            self.incoming.shrink_to(KEPT);
            self.taken = 0;
        }
        Ok(count > 0)
    }

    fn read_plain(&mut self, out: &mut [u8]) -> Result<usize, Broken> {
        let mut filled = 0;
        while filled < out.len() {
            match self.tls.reader().read(&mut out[filled..]) {
                Ok(0) => break, // the peer has closed
                Ok(count) => {
                    filled += count;
                    self.readable = self.readable.saturating_sub(count);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    if !self.pump_waiting()? {
                        break;
                    }
                }
                Err(error) => return Err(Error::General(error.to_string()).into()),
            }
        }
        Ok(filled)
    }

    fn drained(&mut self) -> Vec<u8> {
        let mut out = Vec::new();
        while self.tls.wants_write() {
            // Writing to memory does not fail, and a turn without a byte is the last.
            if !matches!(self.tls.write_tls(&mut out), Ok(count) if count > 0) {
                break;
            }
        }
        out
    }
}

/// The alert that ends `queued`, if no record stands before it that it depends on.
///
/// A record before it may be the client's last flight, which the caller has not permitted. Without it
/// the peer could not decrypt an alert that follows. The one record that changes nothing is TLS 1.3's
/// change_cipher_spec (RFC 8446 appendix D.4), and in TLS 1.2 that stands in the last flight only.
fn alert_alone(queued: &[u8]) -> Option<Vec<u8>> {
    let mut rest = queued;
    loop {
        let (kind, length) = match rest {
            [kind, _, _, high, low, ..] => (*kind, usize::from(u16::from_be_bytes([*high, *low]))),
            _ => return None,
        };
        let after = rest.get(5 + length..)?;
        match (kind, length, after.is_empty()) {
            (20, 1, false) => rest = after,
            // In clear or under TLS 1.2; under TLS 1.3 two bytes, the inner type, and the tag.
            (21, ..=64, true) | (23, 19, true) => return Some(rest.to_vec()),
            _ => return None,
        }
    }
}

#[cfg(test)]
mod tests;
