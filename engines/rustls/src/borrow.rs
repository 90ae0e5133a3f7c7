//! Borrowing the memory of a Python buffer while Rust reads or writes it.
//!
//! The one place with unsafe code. The borrow is sound because the interpreter lock is held for as
//! long as it lasts, and nothing that runs meanwhile calls into Python: no other code can see the
//! memory.

use pyo3::buffer::PyBuffer;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

/// Runs `work` over the bytes of a contiguous buffer.
pub fn read<R>(object: &Bound<'_, PyAny>, work: impl FnOnce(&[u8]) -> R) -> PyResult<R> {
    if let Ok(bytes) = object.cast::<PyBytes>() {
        return Ok(work(bytes.as_bytes()));
    }
    let buffer = PyBuffer::<u8>::get(object)?;
    if !buffer.is_c_contiguous() {
        return Err(PyValueError::new_err("the buffer is not contiguous"));
    }
    if buffer.len_bytes() == 0 {
        return Ok(work(&[]));
    }
    // SAFETY: the buffer is contiguous, `len_bytes` long, kept alive by `buffer`, and see above.
    #[allow(unsafe_code)]
    let bytes =
        unsafe { std::slice::from_raw_parts(buffer.buf_ptr().cast::<u8>(), buffer.len_bytes()) };
    Ok(work(bytes))
}

/// Runs `work` over the memory of a contiguous, writable buffer.
pub fn write<R>(object: &Bound<'_, PyAny>, work: impl FnOnce(&mut [u8]) -> R) -> PyResult<R> {
    let buffer = PyBuffer::<u8>::get(object)?;
    if !buffer.is_c_contiguous() || buffer.readonly() {
        return Err(PyValueError::new_err(
            "the buffer is not contiguous and writable",
        ));
    }
    if buffer.len_bytes() == 0 {
        return Ok(work(&mut []));
    }
    // SAFETY: as above, and the buffer is writable.
    #[allow(unsafe_code)]
    let bytes = unsafe {
        std::slice::from_raw_parts_mut(buffer.buf_ptr().cast::<u8>(), buffer.len_bytes())
    };
    Ok(work(bytes))
}
