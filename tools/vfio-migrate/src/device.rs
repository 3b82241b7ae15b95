// SPDX-License-Identifier: GPL-2.0

//! An open VFIO device and its migration.

use crate::driver::protocol::fsm::{Features, State};
use crate::error::{describe, Error, Result, Status};
use crate::ioctl;
use crate::sysfs::{Node, Roots};
use crate::uapi;
use clap::ValueEnum;
use std::cell::Cell;
use std::ffi::CString;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd, RawFd};
use std::path::Path;
use std::time::{Duration, Instant};

/// How devices are opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum By {
    /// By their own character device where there is one, else by their group
    #[default]
    Auto,
    /// By their own character device, with iommufd
    Cdev,
    /// By their group, with a legacy container
    Group,
}

/// A change of state that was made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Step {
    pub(crate) from: State,
    pub(crate) to: State,
    pub(crate) took: Duration,
}

/// An open device.
///
/// One that this program opened runs again when it is dropped: some drivers cannot stand to be closed
/// in another state.
#[derive(Debug)]
pub(crate) struct Device {
    name: String,
    fd: OwnedFd,
    features: Features,
    /// What the file needs, and is closed after it.
    _container: Vec<OwnedFd>,
    /// Somebody else has the device open too, and goes on with it.
    inherited: bool,
    /// Whether this program has left it in a state other than RUNNING.
    dirty: Cell<bool>,
}

/// Opens a file for an ioctl or more.
fn open(path: &Path) -> Result<OwnedFd> {
    let file = OpenOptions::new().read(true).write(true).open(path);
    file.map(OwnedFd::from).map_err(|error| {
        let what = format!("cannot open {}: {}", path.display(), describe(&error));
        let error_hint = match error.kind() {
            io::ErrorKind::PermissionDenied => "Run it as root, or as the owner of that file.",
            io::ErrorKind::ResourceBusy => "Another process has it open; end that one first.",
            io::ErrorKind::NotFound => "Load the module `iommufd` or `vfio_iommu_type1`.",
            _ => "",
        };
        let error = Error::unavailable(what);
        if error_hint.is_empty() {
            error
        } else {
            error.hint(error_hint)
        }
    })
}

fn open_cdev(cdev: &Path) -> Result<(OwnedFd, Vec<OwnedFd>)> {
    let iommufd = open(Path::new("/dev/iommu"))?;
    let fd = open(cdev)?;
    ioctl::bind(fd.as_fd(), iommufd.as_fd()).map_err(|error| {
        let what = format!(
            "cannot open the device {}: {}",
            cdev.display(),
            describe(&error)
        );
        match error.raw_os_error() {
            // What VFIO says of a device that is open already.
            Some(libc::EINVAL | libc::EBUSY) => Error::unavailable(what)
                .hint("Most likely another process, such as QEMU, has it open."),
            _ => Error::unavailable(what),
        }
    })?;
    Ok((fd, vec![iommufd]))
}

fn open_group(path: &Path, name: &str) -> Result<(OwnedFd, Vec<OwnedFd>)> {
    let refused = |error: io::Error| {
        Error::unavailable(format!(
            "cannot open {name} by {}: {}",
            path.display(),
            describe(&error)
        ))
    };
    let container = open(Path::new("/dev/vfio/vfio"))?;
    ioctl::container_version(container.as_fd()).map_err(refused)?;
    let group = open(path)?;
    if !ioctl::group_is_viable(group.as_fd()).map_err(refused)? {
        return Err(
            Error::unavailable(format!("the group {} is not viable", path.display())).hint(
                "Some device of the group belongs to a driver that is none of VFIO's; unbind it.",
            ),
        );
    }
    ioctl::join(group.as_fd(), container.as_fd()).map_err(|error| {
        refused(error).hint("A legacy container needs the module `vfio_iommu_type1`.")
    })?;
    let c_name = CString::new(name).map_err(|_| Error::unavailable("a name with a zero byte"))?;
    let fd = ioctl::device_of_group(group.as_fd(), &c_name).map_err(refused)?;
    Ok((fd, vec![group, container]))
}

impl Device {
    /// Opens the device that the user means: as [`Roots::find`] has it, or `fd:N` for the open file
    /// of a device that this program was started with.
    pub(crate) fn open(device: &str, by: By) -> Result<Device> {
        if let Some(number) = device.strip_prefix("fd:") {
            return Device::inherit(device, number);
        }
        Device::open_node(&Roots::default().find(device)?, by)
    }

    /// Opens a device that was found.
    pub(crate) fn open_node(node: &Node, by: By) -> Result<Device> {
        let missing = |what: &str| {
            Error::unavailable(format!("{} has no {what}", node.name))
                .hint("`vfio-migrate list` shows what it has.")
        };
        let (fd, container) = match (by, &node.cdev, &node.group) {
            (By::Auto | By::Cdev, Some(cdev), _) => open_cdev(cdev)?,
            (By::Auto | By::Group, _, Some(group)) => open_group(group, &node.name)?,
            (By::Cdev, None, _) => return Err(missing("character device")),
            (By::Group, _, None) => return Err(missing("group")),
            (By::Auto, None, None) => return Err(missing("character device, and no group")),
        };
        Device::new(node.name.clone(), fd, container, false)
    }

    fn inherit(name: &str, number: &str) -> Result<Device> {
        let number: RawFd = number
            .parse()
            .map_err(|_| Error::unavailable(format!("{name} is no number of a file")))?;
        let fd = ioctl::duplicate(number)
            .map_err(|error| Error::unavailable(format!("{name}: {}", describe(&error))))?;
        ioctl::device_info(fd.as_fd()).map_err(|error| {
            Error::unavailable(format!(
                "{name} is no open VFIO device: {}",
                describe(&error)
            ))
        })?;
        Device::new(name.to_owned(), fd, Vec::new(), true)
    }

    fn new(name: String, fd: OwnedFd, container: Vec<OwnedFd>, inherited: bool) -> Result<Device> {
        let flags = ioctl::migration_flags(fd.as_fd()).map_err(|error| {
            let what = format!("{name} does not migrate: {}", describe(&error));
            Error::unavailable(what).hint("Its driver has no migration, or not for this device.")
        })?;
        let features = u32::try_from(flags)
            .ok()
            .and_then(Features::from_flags)
            .ok_or_else(|| {
                Error::unavailable(format!(
                    "{name} has migration features {flags:#x}, which mean nothing"
                ))
            })?;
        Ok(Device {
            name,
            fd,
            features,
            _container: container,
            inherited,
            dirty: Cell::new(false),
        })
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn features(&self) -> Features {
        self.features
    }

    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    /// Whether somebody else goes on with the device.
    pub(crate) fn is_inherited(&self) -> bool {
        self.inherited
    }

    /// The device's state, as it says itself.
    pub(crate) fn state(&self) -> Result<State> {
        let number = ioctl::get_state(self.fd()).map_err(|error| {
            Error::failed(format!("{}: cannot ask for the state", self.name), &error)
        })?;
        State::try_from(number).map_err(|_| {
            Error::new(
                Status::Failed,
                format!("{} has the unknown state {number}", self.name),
            )
        })
    }

    /// Changes the state; returns the data file, if one was opened, and what was done.
    ///
    /// `at` and the error are those of the system call.
    pub(crate) fn try_set_state(&self, to: State) -> Result<(Step, io::Result<Option<File>>)> {
        let from = self.state()?;
        let start = Instant::now();
        let result = ioctl::set_state(self.fd(), to.into());
        let took = start.elapsed();
        self.dirty.set(result.is_err() || to != State::Running);
        Ok((
            Step { from, to, took },
            result.map(|data| data.map(File::from)),
        ))
    }

    /// As [`try_set_state`](Device::try_set_state), where a refusal is an error of the device.
    pub(crate) fn set_state(&self, to: State) -> Result<(Step, Option<File>)> {
        let (step, result) = self.try_set_state(to)?;
        let data = result.map_err(|error| {
            let (name, from, to) = (&self.name, step.from.name(), to.name());
            let now = self.state().map_or("unknown", State::name);
            Error::failed(
                format!("{name}: {from} -> {to} failed, the state is now {now}"),
                &error,
            )
            .hint("The log of the kernel may say more.")
        })?;
        Ok((step, data))
    }

    /// As [`set_state`](Device::set_state), for a state that opens a data file.
    pub(crate) fn open_session(&self, to: State) -> Result<(Step, File)> {
        let (step, data) = self.set_state(to)?;
        let data = data.ok_or_else(|| {
            let what = format!("{}: {} gave no data file", self.name, to.name());
            Error::new(Status::Failed, what).hint("That is a defect of its driver.")
        })?;
        Ok((step, data))
    }

    /// Estimate of the bytes that STOP_COPY moves; [`None`] where the driver has none.
    pub(crate) fn data_size(&self) -> Option<u64> {
        ioctl::data_size(self.fd()).ok()
    }

    /// Whether the flags of the pre-copy information mean something; asks for it.
    pub(crate) fn use_precopy_info_v2(&self) -> bool {
        ioctl::use_precopy_info_v2(self.fd()).is_ok()
    }

    /// Whether the device logs its DMA.
    pub(crate) fn logs_dma(&self) -> bool {
        ioctl::has_feature(
            self.fd(),
            uapi::FEATURE_SET | uapi::FEATURE_DMA_LOGGING_START,
        )
    }

    /// Resets the device: it runs, and has forgotten everything.
    pub(crate) fn reset(&self) -> Result {
        ioctl::reset(self.fd())
            .map_err(|error| Error::failed(format!("{}: cannot be reset", self.name), &error))?;
        self.dirty.set(false);
        Ok(())
    }

    /// Has the device run again from whatever state, with all that it holds.
    ///
    /// # Errors
    ///
    /// Where it does not; then a reset was not tried.
    pub(crate) fn run_again(&self) -> Result {
        if self.state()? != State::Running {
            self.set_state(State::Running)?;
        }
        self.dirty.set(false);
        Ok(())
    }

    /// Leaves the device in the state that it is in, also when it is closed.
    pub(crate) fn abandon(&self) {
        self.dirty.set(false);
    }

    /// Ends what failed or was interrupted: the device runs, if need be by a reset, and the error says
    /// what became of it.
    pub(crate) fn recover(&self, error: Error, keeps_its_state: bool) -> Error {
        let name = &self.name;
        let again = if keeps_its_state {
            self.run_again()
        } else {
            self.reset()
        };
        let Err(first) = again else {
            return error.note(&match keeps_its_state {
                true => format!("{name} runs again"),
                false => format!("{name} was reset and runs"),
            });
        };
        match if keeps_its_state {
            self.reset()
        } else {
            self.run_again()
        } {
            Ok(()) if keeps_its_state => error.and(
                Status::NotRunning,
                &format!("{name} lost its state: {first}; it was reset and runs"),
            ),
            Ok(()) => error.note(&format!("{name} runs")),
            Err(second) => error.and(
                Status::NotRunning,
                &format!("{name} COULD NOT BE RETURNED TO RUNNING: {first}; {second}"),
            ),
        }
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        // What went wrong was said before; this is for panics, and for a state that was left on purpose.
        if self.dirty.get() && !self.inherited && self.run_again().is_err() {
            if let Err(error) = self.reset() {
                eprintln!("vfio-migrate: {error}");
            }
        }
    }
}
