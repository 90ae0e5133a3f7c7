//! The rustls engine of pinio: bytes in, bytes out, and the certification path that was verified.
//!
//! No sockets and no policy. A [`config::Config`] holds what is the same for many connections; a
//! [`connection::Connection`] is one of them. The caller compares the path with its pins and takes
//! nothing from the connection before it did: rustls hands out no byte by itself.

mod anchors;
mod borrow;
mod certificate;
mod config;
mod connection;
mod failure;
mod paths;
mod sessions;
mod verifier;

use pyo3::prelude::*;

/// What Python imports.
#[pymodule]
fn pinio_rustls(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    module.add("TLSFailure", module.py().get_type::<failure::TLSFailure>())?;
    module.add_class::<config::Config>()?;
    module.add_class::<connection::Connection>()?;
    module.add_class::<sessions::Session>()?;
    Ok(())
}
