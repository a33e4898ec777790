//! HTTP/1 or HTTP/2, by the first bytes of a connection.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, ReadBuf};

/// What an HTTP/2 client says first. No request of HTTP/1 begins like it.
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Which protocol a peer speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Version {
    Http1,
    Http2,
}

/// Reads until the version is plain. What was read comes out of the stream again. The caller bounds the time: a peer
/// may stop in the middle of the preface.
pub(super) async fn read<S: AsyncRead + Unpin>(mut stream: S) -> io::Result<(Version, Opened<S>)> {
    let mut first = [0; PREFACE.len()];
    let mut length = 0;
    let version = loop {
        let more = stream.read(&mut first[length..]).await?;
        if more == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        length += more;
        if first[..length] != PREFACE[..length] {
            break Version::Http1;
        }
        if length == PREFACE.len() {
            break Version::Http2;
        }
    };
    Ok((version, Opened { first, next: 0, length, stream }))
}

/// A stream whose first bytes were looked at already.
pub(super) struct Opened<S> {
    first: [u8; PREFACE.len()],
    next: usize,
    length: usize,
    stream: S,
}

impl<S: AsyncRead + Unpin> AsyncRead for Opened<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let left = &self.first[self.next..self.length];
        if left.is_empty() {
            return Pin::new(&mut self.stream).poll_read(cx, into);
        }
        let count = left.len().min(into.remaining());
        into.put_slice(&left[..count]);
        self.next += count;
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Opened<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, from: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, from)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        from: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, from)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_first_bytes_tell_the_version_and_are_not_lost() {
        for (sent, version) in [
            (&b"GET / HTTP/1.1\r\n\r\n"[..], Version::Http1),
            (b"POST /v1 HTTP/1.1\r\n\r\n", Version::Http1),
            (b"PRI * HTTP/1.1\r\n\r\nmore than the preface", Version::Http1),
            (b"\x16\x03\x01\x02\x00", Version::Http1),
            (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nframes", Version::Http2),
        ] {
            for piece in [1, 3, 1000] {
                let mut stream = in_pieces(sent, piece);
                let (found, mut opened) = read(&mut stream).await.unwrap();
                let mut heard = Vec::new();
                opened.read_to_end(&mut heard).await.unwrap();
                assert_eq!((found, &heard[..]), (version, sent), "in pieces of {piece}");
            }
        }
        assert!(read(&b"PRI * HT"[..]).await.is_err());
        assert!(read(&b""[..]).await.is_err());
    }

    /// A stream that gives at most `piece` bytes at once.
    fn in_pieces(bytes: &[u8], piece: usize) -> impl AsyncRead + Unpin {
        let pieces: Vec<io::Result<io::Cursor<Vec<u8>>>> =
            bytes.chunks(piece).map(|chunk| Ok(io::Cursor::new(chunk.to_vec()))).collect();
        tokio_util::io::StreamReader::new(futures::stream::iter(pieces))
    }
}
