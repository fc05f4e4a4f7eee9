//! The word to systemd that the service is ready: `man 3 sd_notify`.

use std::io;

/// Says that requests are answered from now on. Without systemd there is nobody to say it to.
#[cfg(unix)]
pub(crate) fn notify() -> io::Result<()> {
    use std::os::unix::net::UnixDatagram;

    let Some(socket) = std::env::var_os("NOTIFY_SOCKET") else { return Ok(()) };
    let sender = UnixDatagram::unbound()?;
    #[cfg(target_os = "linux")]
    if let Some(name) = socket.as_encoded_bytes().strip_prefix(b"@") {
        use std::os::linux::net::SocketAddrExt;
        let address = std::os::unix::net::SocketAddr::from_abstract_name(name)?;
        return sender.send_to_addr(b"READY=1", &address).map(drop);
    }
    sender.send_to(b"READY=1", socket).map(drop)
}

#[cfg(not(unix))]
pub(crate) fn notify() -> io::Result<()> {
    Ok(())
}
