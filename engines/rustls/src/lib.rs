//! The rustls engine of pinio: bytes in, bytes out, and the certification path that was verified.
//!
//! No sockets and no policy. A [`config::Config`] holds what is the same for many connections; a
//! [`connection::Connection`] is one of them. The caller compares the path with its pins and takes
//! nothing from the connection before it did: rustls hands out no byte by itself.

#![cfg_attr(not(feature = "python"), allow(dead_code))]

mod anchors;
#[cfg(feature = "python")]
mod borrow;
mod certificate;
mod config;
#[cfg(feature = "python")]
mod connection;
mod engine;
#[cfg(feature = "python")]
mod failure;
mod objection;
mod paths;
mod sessions;
mod verifier;

#[cfg(feature = "python")]
use pyo3::prelude::*;

/// What Python imports.
///
/// It needs the interpreter lock, for the borrows in [`borrow`]: a free-threaded Python turns it
/// on.
#[cfg(feature = "python")]
#[pymodule(gil_used = true)]
fn pinio_rustls(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    module.add("TLSFailure", module.py().get_type::<failure::TLSFailure>())?;
    module.add_class::<config::Config>()?;
    module.add_class::<connection::Connection>()?;
    module.add_class::<sessions::Session>()?;
    Ok(())
}
