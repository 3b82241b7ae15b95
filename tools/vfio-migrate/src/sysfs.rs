// SPDX-License-Identifier: GPL-2.0

//! The VFIO devices of this machine, as sysfs and debugfs show them. Opens no device.

use crate::error::{describe, Error, Result};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Where the kernel shows what; another one in tests.
#[derive(Clone, Debug)]
pub(crate) struct Roots {
    pub(crate) sys: PathBuf,
    pub(crate) dev: PathBuf,
}

impl Default for Roots {
    fn default() -> Self {
        Roots {
            sys: "/sys".into(),
            dev: "/dev".into(),
        }
    }
}

/// A device that a VFIO driver has registered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Node {
    /// As VFIO calls it: a PCI address, or the UUID of a mediated device.
    pub(crate) name: String,
    /// The device's folder in sysfs.
    pub(crate) path: PathBuf,
    /// The driver that it is bound to.
    pub(crate) driver: Option<String>,
    /// The character device, if the kernel makes them.
    pub(crate) cdev: Option<PathBuf>,
    /// The group's character device.
    pub(crate) group: Option<PathBuf>,
    /// Where debugfs shows its migration.
    pub(crate) debug: PathBuf,
}

/// Name of what a link in sysfs leads to.
fn link_name(link: &Path) -> Option<String> {
    let target = fs::canonicalize(link).ok()?;
    Some(target.file_name()?.to_str()?.to_owned())
}

fn file_name(path: &Path) -> String {
    path.file_name()
        .map_or_else(String::new, |name| name.to_string_lossy().into_owned())
}

fn exists(path: PathBuf) -> Option<PathBuf> {
    path.exists().then_some(path)
}

impl Roots {
    /// All VFIO devices, by name.
    ///
    /// # Errors
    ///
    /// Where VFIO is not there.
    pub(crate) fn devices(&self) -> Result<Vec<Node>> {
        let class = self.sys.join("class/vfio-dev");
        let entries = match fs::read_dir(&class) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(
                    Error::unavailable("there are no VFIO devices: VFIO is not loaded").hint(
                        "Load the driver of the device (for a PCI device, `vfio-pci` or its own).",
                    ),
                );
            }
            Err(error) => return Err(Error::failed(class.display(), &error)),
        };
        let mut nodes = Vec::new();
        for entry in entries {
            let entry = entry.map_err(|error| Error::failed(class.display(), &error))?;
            // A device may go while we look.
            nodes.extend(self.node(&entry.path()));
        }
        nodes.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(nodes)
    }

    /// The device whose entry in the class `vfio-dev` this is.
    fn node(&self, class_entry: &Path) -> Option<Node> {
        let path = fs::canonicalize(class_entry.join("device")).ok()?;
        let name = file_name(&path);
        let number = file_name(class_entry);
        let cdev = exists(self.dev.join("vfio/devices").join(number));
        let group = link_name(&path.join("iommu_group"))
            .and_then(|group| exists(self.dev.join("vfio").join(group)));
        Some(Node {
            driver: link_name(&path.join("driver")),
            debug: self
                .sys
                .join("kernel/debug/vfio")
                .join(&name)
                .join("migration"),
            name,
            path,
            cdev,
            group,
        })
    }

    /// The device that the user means: a PCI address (its domain may be left out), a UUID, a path in
    /// sysfs, or `/dev/vfio/devices/vfioN`.
    ///
    /// # Errors
    ///
    /// Where there is none.
    pub(crate) fn find(&self, device: &str) -> Result<Node> {
        let nodes = self.devices()?;
        let path = Path::new(device);
        let wanted = match path.is_absolute() {
            true => fs::canonicalize(path).map_err(|error| {
                Error::unavailable(format!("{device}: {}", describe(&error)))
                    .hint("`vfio-migrate list` shows the devices there are.")
            })?,
            false => PathBuf::new(),
        };
        let long = format!("0000:{device}").to_lowercase();
        let is = |node: &Node| match path.is_absolute() {
            true => {
                node.path == wanted
                    || node
                        .cdev
                        .as_ref()
                        .is_some_and(|cdev| fs::canonicalize(cdev).is_ok_and(|cdev| cdev == wanted))
            }
            false => node.name.eq_ignore_ascii_case(device) || node.name == long,
        };
        nodes.iter().find(|node| is(node)).cloned().ok_or_else(|| {
            let hint = match self.unbound(device, &long) {
                Some(driver) => format!(
                    "It is bound to `{driver}`, which is no VFIO driver. Bind it to one, by driver_override."
                ),
                None => "`vfio-migrate list` shows the devices there are.".to_owned(),
            };
            Error::unavailable(format!("{device} is no VFIO device")).hint(hint)
        })
    }

    /// The driver of a PCI device that VFIO does not have.
    fn unbound(&self, name: &str, long: &str) -> Option<String> {
        let pci = self.sys.join("bus/pci/devices");
        [name, long].iter().find_map(|name| {
            let path = if name.starts_with('/') {
                name.into()
            } else {
                pci.join(name)
            };
            link_name(&path.join("driver"))
        })
    }
}

impl Node {
    /// One file of the device's migration in debugfs; [`None`] if there is no such file, or it
    /// cannot be read.
    pub(crate) fn debug_file(&self, name: &str) -> Option<String> {
        let text = fs::read_to_string(self.debug.join(name)).ok()?;
        Some(text.trim().to_owned())
    }

    /// The names of all files of the device's migration in debugfs.
    pub(crate) fn debug_files(&self) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(&self.debug)
            .into_iter()
            .flatten()
            .flatten()
            .filter(|entry| entry.path().is_file())
            .map(|entry| entry.file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Status;
    use std::os::unix::fs::symlink;

    /// A machine with one mediated device, one PCI device of a VFIO driver and one of another.
    fn machine() -> (tempfile::TempDir, Roots) {
        let dir = tempfile::tempdir().unwrap();
        let roots = Roots {
            sys: dir.path().join("sys"),
            dev: dir.path().join("dev"),
        };
        let devices = [
            (
                "devices/parent/8f4c0d7e-0000-4000-8000-000000000001",
                "vfio0",
                "mtty",
                "7",
            ),
            ("devices/pci0/0000:01:00.1", "vfio1", "mlx5_vfio_pci", "8"),
            ("devices/pci0/0000:02:00.0", "", "nvme", "9"),
        ];
        for folder in ["class/vfio-dev", "bus/pci/devices", "bus/drivers", "groups"] {
            fs::create_dir_all(roots.sys.join(folder)).unwrap();
        }
        fs::create_dir_all(roots.dev.join("vfio/devices")).unwrap();
        for (path, number, driver, group) in devices {
            let path = roots.sys.join(path);
            fs::create_dir_all(&path).unwrap();
            for (link, folder) in [
                ("driver", roots.sys.join("bus/drivers").join(driver)),
                ("iommu_group", roots.sys.join("groups").join(group)),
            ] {
                fs::create_dir_all(&folder).unwrap();
                symlink(folder, path.join(link)).unwrap();
            }
            symlink(
                &path,
                roots
                    .sys
                    .join("bus/pci/devices")
                    .join(path.file_name().unwrap()),
            )
            .unwrap();
            if !number.is_empty() {
                let entry = path.join("vfio-dev").join(number);
                fs::create_dir_all(&entry).unwrap();
                symlink(&path, entry.join("device")).unwrap();
                symlink(&entry, roots.sys.join("class/vfio-dev").join(number)).unwrap();
                fs::write(roots.dev.join("vfio/devices").join(number), "").unwrap();
            }
        }
        fs::write(roots.dev.join("vfio/8"), "").unwrap();
        (dir, roots)
    }

    #[test]
    fn devices_are_found_by_all_their_names() {
        let (_dir, roots) = machine();
        let pci = roots.find("0000:01:00.1").unwrap();
        assert_eq!(pci.driver.as_deref(), Some("mlx5_vfio_pci"));
        assert_eq!(pci.group, Some(roots.dev.join("vfio/8")));
        assert_eq!(roots.find("01:00.1").unwrap(), pci);
        assert_eq!(roots.find(pci.path.to_str().unwrap()).unwrap(), pci);
        let link = roots.sys.join("bus/pci/devices/0000:01:00.1");
        assert_eq!(roots.find(link.to_str().unwrap()).unwrap(), pci);
        assert_eq!(
            roots
                .find(pci.cdev.as_ref().unwrap().to_str().unwrap())
                .unwrap(),
            pci
        );
        let mdev = roots.find("8F4C0D7E-0000-4000-8000-000000000001").unwrap();
        assert_eq!(mdev.driver.as_deref(), Some("mtty"));
        // A group without a character device, as where the kernel has no groups.
        assert_eq!(mdev.group, None);
        assert_eq!(roots.devices().unwrap(), [pci, mdev]);
    }

    #[test]
    fn a_device_of_another_driver_is_named() {
        let (_dir, roots) = machine();
        for device in ["0000:02:00.0", "02:00.0"] {
            let error = roots.find(device).unwrap_err();
            assert_eq!(error.status, Status::Unavailable);
            assert!(error.to_string().contains("`nvme`"), "{error}");
        }
        assert!(roots
            .find("03:00.0")
            .unwrap_err()
            .to_string()
            .contains("list"));
        assert!(roots.find("/nowhere").is_err());
    }

    #[test]
    fn no_vfio_is_said() {
        let roots = Roots {
            sys: "/nowhere".into(),
            dev: "/nowhere".into(),
        };
        assert_eq!(roots.devices().unwrap_err().status, Status::Unavailable);
    }
}
