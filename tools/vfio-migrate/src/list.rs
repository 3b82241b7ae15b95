// SPDX-License-Identifier: GPL-2.0

//! `list` and `info`: what VFIO devices there are, and what they can.

use crate::device::{By, Device};
use crate::driver::protocol::fsm::{Features, State};
use crate::error::Result;
use crate::interrupt::Interrupt;
use crate::ioctl;
use crate::output;
use crate::sysfs::{Node, Roots};
use crate::text;
use std::os::fd::AsFd;
use std::path::Path;

/// The features in the words of the kernel's debugfs.
fn words(features: Features) -> String {
    let all = [
        (true, "stop-copy"),
        (features.p2p(), "p2p"),
        (features.pre_copy(), "pre-copy"),
    ];
    let words: Vec<&str> = all
        .iter()
        .filter(|(has, _)| *has)
        .map(|(_, word)| *word)
        .collect();
    words.join(" ")
}

/// Lines of a file of debugfs as one.
fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn name(path: &Option<impl AsRef<Path>>) -> String {
    let name = path.as_ref().and_then(|path| path.as_ref().file_name());
    name.map_or_else(
        || "-".to_owned(),
        |name| name.to_string_lossy().into_owned(),
    )
}

/// Features and state of a device: from debugfs, which disturbs nobody, else by opening it.
fn migration(node: &Node, may_open: bool, by: By) -> (String, String) {
    if let (Some(features), Some(state)) = (node.debug_file("features"), node.debug_file("state")) {
        return (one_line(&features), one_line(&state));
    }
    let unknown = || "-".to_owned();
    if !may_open {
        return (unknown(), unknown());
    }
    match Device::open_node(node, by) {
        Ok(device) => {
            let state = device
                .state()
                .map_or_else(|_| unknown(), |state| state.name().to_owned());
            (words(device.features()), state)
        }
        Err(error) => {
            let text = error.to_string();
            let first = text.lines().next().unwrap_or_default();
            (unknown(), format!("({first})"))
        }
    }
}

/// The command `list`.
pub(crate) fn list(may_open: bool, by: By) -> Result {
    let mut rows = vec![["DEVICE", "DRIVER", "CDEV", "GROUP", "MIGRATION", "STATE"]
        .map(str::to_owned)
        .to_vec()];
    for node in Roots::default().devices()? {
        let (features, state) = migration(&node, may_open, by);
        let driver = node.driver.clone().unwrap_or_else(|| "-".to_owned());
        rows.push(vec![
            node.name.clone(),
            driver,
            name(&node.cdev),
            name(&node.group),
            features,
            state,
        ]);
    }
    output::print(&text::table(&rows))
}

/// The command `info`.
pub(crate) fn info(device: &str, by: By) -> Result {
    // A session of pre-copy is open for a moment: no signal may end the program in it.
    let interrupt = Interrupt::new()?;
    let node = match device.starts_with("fd:") {
        true => None,
        false => Some(Roots::default().find(device)?),
    };
    let device = match &node {
        Some(node) => Device::open_node(node, by)?,
        None => Device::open(device, by)?,
    };
    let mut rows = Vec::new();
    let mut row = |key: &str, value: String| rows.push(vec![format!("{key}:"), value]);
    row("device", device.name().to_owned());
    if let Some(node) = &node {
        let path = |path: &Option<std::path::PathBuf>| {
            path.as_ref()
                .map_or_else(|| "-".to_owned(), |path| path.display().to_string())
        };
        row("path", node.path.display().to_string());
        row(
            "driver",
            node.driver.clone().unwrap_or_else(|| "-".to_owned()),
        );
        row("character device", path(&node.cdev));
        row("group", path(&node.group));
    }
    let yes = |yes: bool| if yes { "yes" } else { "no" }.to_owned();
    if let Ok(info) = ioctl::device_info(device.fd()) {
        row("regions", info.num_regions.to_string());
        row("interrupts", info.num_irqs.to_string());
    }
    row("migration", words(device.features()));
    row("state", device.state()?.name().to_owned());
    let size = device
        .data_size()
        .map_or_else(|| "unknown".to_owned(), text::bytes);
    row("bytes to stop and copy", size);
    row("pre-copy information v2", yes(device.use_precopy_info_v2()));
    row("logs its DMA", yes(device.logs_dma()));
    if device.features().pre_copy() {
        if let Some(info) = pre_copy_estimate(&device)? {
            row("bytes of pre-copy", info);
        }
    }
    if let Some(node) = &node {
        let known = ["features", "state"];
        for file in node
            .debug_files()
            .iter()
            .filter(|file| !known.contains(&file.as_str()))
        {
            for line in node.debug_file(file).unwrap_or_default().lines() {
                row(file, line.to_owned());
            }
        }
    }
    interrupt.check()?;
    output::print(&text::table(&rows))
}

/// What a first pass would be; the device runs meanwhile and afterwards.
fn pre_copy_estimate(device: &Device) -> Result<Option<String>> {
    // Somebody else's session is not to be disturbed.
    if device.is_inherited() || device.state()? != State::Running {
        return Ok(None);
    }
    let (_, data) = device
        .open_session(State::PreCopy)
        .map_err(|error| device.recover(error, true))?;
    let info = ioctl::precopy_info(data.as_fd());
    device
        .run_again()
        .map_err(|error| device.recover(error, true))?;
    Ok(info.ok().map(|info| text::bytes(info.initial_bytes)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn features_have_the_kernels_words() {
        assert_eq!(words(Features::STOP_COPY), "stop-copy");
        assert_eq!(words(Features::ALL), "stop-copy p2p pre-copy");
        assert_eq!(one_line("stop-copy\np2p\n"), "stop-copy p2p");
    }
}
