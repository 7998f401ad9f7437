//! A process that runs one instruction at a time.

use std::os::unix::process::CommandExt;
use std::process::{Child, Command};
use std::ptr;

/// A process between the two times that it stops by itself.
pub struct Steps(Child);

impl Steps {
    /// Starts a program and lets it run until it stops itself. `None` where no process may be traced.
    pub fn begin(command: &mut Command) -> Option<Self> {
        // SAFETY: between fork and exec only this call is made, which takes no lock and no memory.
        unsafe { command.pre_exec(|| request(libc::PTRACE_TRACEME, 0)) };
        let steps = Self(command.spawn().ok()?);
        steps.stopped_by(libc::SIGTRAP).then_some(())?;
        steps.request(libc::PTRACE_CONT)?;
        steps.stopped_by(libc::SIGSTOP).then_some(steps)
    }

    /// Runs an instruction; whether the program has not stopped itself again.
    pub fn step(&mut self) -> bool {
        self.request(libc::PTRACE_SINGLESTEP).is_some() && self.stopped_by(libc::SIGTRAP)
    }

    fn request(&self, what: libc::c_uint) -> Option<()> {
        request(what, self.process()).ok()
    }

    fn process(&self) -> libc::pid_t {
        self.0.id() as libc::pid_t
    }

    fn stopped_by(&self, signal: i32) -> bool {
        let mut status = 0;
        // SAFETY: the status outlives the call.
        let waited = unsafe { libc::waitpid(self.process(), &raw mut status, 0) };
        waited == self.process() && libc::WIFSTOPPED(status) && libc::WSTOPSIG(status) == signal
    }
}

impl Drop for Steps {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn request(what: libc::c_uint, process: libc::pid_t) -> std::io::Result<()> {
    let none = ptr::null_mut::<libc::c_void>();
    // SAFETY: the requests made here read and write no memory of this process.
    if unsafe { libc::ptrace(what, process, none, none) } == -1 {
        return Err(std::io::Error::last_os_error());
    }
    Ok(())
}
