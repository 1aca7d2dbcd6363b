//! Runs a program and decides about each of its system calls that write: let it through, fail it, or end the program right there.
//!
//! A seccomp filter in the child hands such calls to this process before the kernel does them (`seccomp_unotify(2)`). That needs neither root nor a
//! debugger, catches every thread, and sees calls that go past libc.

use std::ffi::CString;
use std::io;
use std::mem::{size_of, zeroed};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::fs::FileExt;
use std::os::unix::net::UnixDatagram;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus};

use libc::{c_long, c_ulong};

/// Calls that write: data, lengths, names, or what makes them durable. The second value says where the subject is.
const CALLS: &[(c_long, &str, Subject)] = &[
    (libc::SYS_write, "write", Subject::Descriptor(0)),
    (libc::SYS_writev, "writev", Subject::Descriptor(0)),
    (libc::SYS_pwrite64, "pwrite64", Subject::Descriptor(0)),
    (libc::SYS_sendfile, "sendfile", Subject::Descriptor(0)),
    (libc::SYS_copy_file_range, "copy_file_range", Subject::Descriptor(2)),
    (libc::SYS_ftruncate, "ftruncate", Subject::Descriptor(0)),
    (libc::SYS_fallocate, "fallocate", Subject::Descriptor(0)),
    (libc::SYS_fsync, "fsync", Subject::Descriptor(0)),
    (libc::SYS_fdatasync, "fdatasync", Subject::Descriptor(0)),
    (libc::SYS_fchmod, "fchmod", Subject::Descriptor(0)),
    (libc::SYS_openat, "openat", Subject::Path { at: 1, flags: Some(2) }),
    (libc::SYS_renameat2, "renameat2", Subject::Path { at: 3, flags: None }),
    (libc::SYS_mkdirat, "mkdirat", Subject::Path { at: 1, flags: None }),
    (libc::SYS_unlinkat, "unlinkat", Subject::Path { at: 1, flags: None }),
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_open, "open", Subject::Path { at: 0, flags: Some(1) }),
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_rename, "rename", Subject::Path { at: 1, flags: None }),
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_mkdir, "mkdir", Subject::Path { at: 0, flags: None }),
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_rmdir, "rmdir", Subject::Path { at: 0, flags: None }),
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_unlink, "unlink", Subject::Path { at: 0, flags: None }),
];

#[derive(Clone, Copy)]
enum Subject {
    /// The argument that is an open file.
    Descriptor(usize),
    /// The argument that points to a path, and the one with the flags of `open`, where reading is no matter.
    Path { at: usize, flags: Option<usize> },
}

/// A call that writes to a file or to standard output.
#[derive(Clone, Debug)]
pub struct Call {
    pub name: &'static str,
    /// The file, or what a path says.
    pub file: PathBuf,
    /// Whether the subject is standard output.
    pub is_output: bool,
}

/// What becomes of a call.
#[derive(Clone, Copy, Debug)]
pub enum Verdict {
    Pass,
    /// It does nothing and fails with this error number.
    Fail(i32),
    /// The signal is sent, then the call goes on, if it can.
    Signal(i32),
}

/// Runs `command` to its end and asks `decide` about each call that writes.
pub fn run(command: &mut Command, mut decide: impl FnMut(&Call) -> Verdict) -> io::Result<ExitStatus> {
    let (mut child, listener) = spawn(command)?;
    loop {
        let mut poll = libc::pollfd { fd: listener.as_raw_fd(), events: libc::POLLIN, revents: 0 };
        // SAFETY: one valid entry.
        if unsafe { libc::poll(&mut poll, 1, -1) } < 0 {
            match io::Error::last_os_error() {
                error if error.kind() == io::ErrorKind::Interrupted => continue,
                error => return Err(error),
            }
        }
        if poll.revents & libc::POLLIN == 0 {
            // The last thread with the filter is gone.
            return child.wait();
        }
        answer(&listener, &mut child, &mut decide);
    }
}

/// Takes a call and answers it. Its thread may be gone meanwhile: then there is no one to answer.
fn answer(listener: &OwnedFd, child: &mut Child, decide: &mut impl FnMut(&Call) -> Verdict) {
    // SAFETY: plain C structs; the kernel asks for the first to be zero.
    let (mut request, mut response) = unsafe { (zeroed::<libc::seccomp_notif>(), zeroed::<libc::seccomp_notif_resp>()) };
    // SAFETY: the ioctl fills the struct of its name.
    if unsafe { libc::ioctl(listener.as_raw_fd(), libc::SECCOMP_IOCTL_NOTIF_RECV, &mut request) } != 0 {
        return;
    }
    response.id = request.id;
    response.flags = libc::SECCOMP_USER_NOTIF_FLAG_CONTINUE as u32;
    match describe(&request).map_or(Verdict::Pass, |call| decide(&call)) {
        Verdict::Pass => {}
        Verdict::Fail(error) => (response.flags, response.error) = (0, -error),
        Verdict::Signal(signal) => {
            // SAFETY: a signal to a child that is not waited for yet.
            unsafe { libc::kill(child.id() as i32, signal) };
        }
    }
    // SAFETY: the ioctl reads the struct of its name.
    unsafe { libc::ioctl(listener.as_raw_fd(), libc::SECCOMP_IOCTL_NOTIF_SEND, &mut response) };
}

/// What the call writes to; `None` where it writes to no file.
fn describe(request: &libc::seccomp_notif) -> Option<Call> {
    let (process, args) = (request.pid, request.data.args);
    let &(_, name, subject) = CALLS.iter().find(|(number, ..)| *number == c_long::from(request.data.nr))?;
    let link = |descriptor: u64| std::fs::read_link(format!("/proc/{process}/fd/{descriptor}")).ok();
    match subject {
        Subject::Descriptor(at) => {
            let file = link(args[at])?;
            let is_output = args[at] == 1;
            (file.is_absolute() && args[at] != 2).then_some(Call { name, file, is_output })
        }
        Subject::Path { at, flags } => {
            if flags.is_some_and(|at| args[at] as i32 & (libc::O_WRONLY | libc::O_RDWR | libc::O_CREAT) == 0) {
                return None;
            }
            let mut bytes = vec![0; 512];
            let memory = std::fs::File::open(format!("/proc/{process}/mem")).ok()?;
            let read = memory.read_at(&mut bytes, args[at]).ok()?;
            let end = bytes[..read].iter().position(|&byte| byte == 0)?;
            let path = PathBuf::from(String::from_utf8_lossy(&bytes[..end]).into_owned());
            let folder = std::fs::read_link(format!("/proc/{process}/cwd")).ok()?;
            Some(Call { name, file: folder.join(path), is_output: false })
        }
    }
}

/// Starts it under the filter; with the descriptor at which its calls arrive.
fn spawn(command: &mut Command) -> io::Result<(Child, OwnedFd)> {
    let (ours, theirs) = UnixDatagram::pair()?;
    let filter = filter();
    let socket = theirs.as_raw_fd();
    // SAFETY: only system calls between fork and exec; the filter was made before.
    unsafe { command.pre_exec(move || install(&filter, socket)) };
    let child = command.spawn()?;
    drop(theirs);
    Ok((child, receive(&ours)?))
}

/// Hands [`CALLS`] to the listener, and lets others through.
fn filter() -> Vec<libc::sock_filter> {
    const LOAD: u16 = (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16;
    const JUMP_IF_EQUAL: u16 = (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16;
    const RETURN: u16 = (libc::BPF_RET | libc::BPF_K) as u16;
    let step = |code, k, jt| libc::sock_filter { code, jt, jf: 0, k };
    let calls = CALLS.iter().zip((1..=CALLS.len() as u8).rev());
    // The number is the first field of `seccomp_data`; a match jumps over the other calls and the first return.
    let mut program = vec![step(LOAD, 0, 0)];
    program.extend(calls.map(|(&(number, ..), left)| step(JUMP_IF_EQUAL, number as u32, left)));
    program.push(step(RETURN, libc::SECCOMP_RET_ALLOW, 0));
    program.push(step(RETURN, libc::SECCOMP_RET_USER_NOTIF, 0));
    program
}

/// In the child: installs the filter, and sends its listener.
fn install(filter: &[libc::sock_filter], socket: RawFd) -> io::Result<()> {
    let program = libc::sock_fprog { len: filter.len() as u16, filter: filter.as_ptr().cast_mut() };
    let new_listener: c_ulong = libc::SECCOMP_FILTER_FLAG_NEW_LISTENER;
    // SAFETY: the program is valid for the call; both only restrict this process.
    let listener = unsafe {
        if libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 {
            return Err(io::Error::last_os_error());
        }
        libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, new_listener, &program)
    };
    if listener < 0 {
        return Err(io::Error::last_os_error());
    }
    with_message(|message| {
        // SAFETY: `with_message` made room for one descriptor.
        unsafe {
            let header = libc::CMSG_FIRSTHDR(message);
            (*header).cmsg_level = libc::SOL_SOCKET;
            (*header).cmsg_type = libc::SCM_RIGHTS;
            (*header).cmsg_len = libc::CMSG_LEN(size_of::<RawFd>() as u32) as _;
            libc::CMSG_DATA(header).cast::<RawFd>().write_unaligned(listener as RawFd);
            libc::sendmsg(socket, message, 0)
        }
    })
    .map(drop)
}

/// Takes the descriptor that [`install`] sent.
fn receive(socket: &UnixDatagram) -> io::Result<OwnedFd> {
    let mut descriptor = -1;
    with_message(|message| {
        // SAFETY: `with_message` made room for one descriptor, which is ours once it is received.
        unsafe {
            let received = libc::recvmsg(socket.as_raw_fd(), message, libc::MSG_CMSG_CLOEXEC);
            let header = libc::CMSG_FIRSTHDR(message);
            if received > 0 && !header.is_null() {
                descriptor = libc::CMSG_DATA(header).cast::<RawFd>().read_unaligned();
            }
            received
        }
    })?;
    if descriptor < 0 {
        return Err(io::Error::other("no listener came"));
    }
    // SAFETY: just received, and nobody else has it.
    Ok(unsafe { OwnedFd::from_raw_fd(descriptor) })
}

/// Calls `transfer` with a message of one byte and room for one descriptor.
fn with_message(transfer: impl FnOnce(*mut libc::msghdr) -> isize) -> io::Result<isize> {
    let (mut byte, mut control) = ([0u8; 1], [0u64; 8]);
    let mut part = libc::iovec { iov_base: byte.as_mut_ptr().cast(), iov_len: 1 };
    // SAFETY: a plain C struct, of which zero is a value.
    let mut message: libc::msghdr = unsafe { zeroed() };
    message.msg_iov = &mut part;
    message.msg_iovlen = 1;
    message.msg_control = control.as_mut_ptr().cast();
    // SAFETY: arithmetic alone.
    message.msg_controllen = unsafe { libc::CMSG_SPACE(size_of::<RawFd>() as u32) } as _;
    match transfer(&mut message) {
        done if done < 0 => Err(io::Error::last_os_error()),
        done => Ok(done),
    }
}

/// The name of an error number, as the system has it in words.
pub fn words(error: i32) -> String {
    io::Error::from_raw_os_error(error).to_string()
}

/// Whether this machine lets a process supervise its children so.
pub fn is_possible() -> io::Result<()> {
    let program = CString::new("true").expect("no zero byte");
    run(Command::new(program.to_str().expect("UTF-8")).arg("x"), |_| Verdict::Pass).map(drop)
}
