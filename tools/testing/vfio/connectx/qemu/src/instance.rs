// SPDX-License-Identifier: GPL-2.0

//! What a device has that QEMU does not keep for it, by the address of its object.

use crate::ffi::{self, Error, Object, Visitor};
use crate::machine::Card;
use connectx_firmware::Config;
use core::ffi::{c_char, c_int, c_void, CStr};
use std::collections::{BTreeMap, HashMap};
use std::ffi::CString;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Options that are not the firmware's.
pub(crate) const OPTIONS: &[(&str, &str)] = &[
    ("vfs", "number of VFs, up to 64 (4)"),
    ("vectors", "MSI-X vectors of each function, up to 64 (32)"),
    (
        "msi",
        "MSI as well, for tests of who finds it: on, off (off)",
    ),
    ("trace", "a file for what the firmware does (none)"),
];

/// Chosen before the device is there.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    pub(crate) vfs: u16,
    pub(crate) vectors: u32,
    pub(crate) msi: bool,
    pub(crate) trace: Option<String>,
    pub(crate) config: Config,
}

/// A function that is there. QEMU has the address of this; it stays until the object goes.
pub(crate) struct Port {
    pub(crate) card: Arc<Card>,
    pub(crate) number: u16,
    /// Room for a `MemoryRegion`, whose size differs between versions.
    pub(crate) region: Box<[u64; 128]>,
}

struct Instance {
    options: Options,
    /// As they were given.
    texts: BTreeMap<String, String>,
    /// What the guest has written of an option, byte by byte.
    written: String,
    port: Option<Box<Port>>,
}

static INSTANCES: Mutex<Option<HashMap<usize, Instance>>> = Mutex::new(None);

fn instances() -> MutexGuard<'static, Option<HashMap<usize, Instance>>> {
    INSTANCES.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Locks, and gives the one that belongs to `object` to `f`.
fn with<T>(object: *mut Object, f: impl FnOnce(&mut Instance) -> T) -> Option<T> {
    instances().as_mut()?.get_mut(&(object as usize)).map(f)
}

/// The object is made.
pub(crate) extern "C" fn init(object: *mut Object) {
    let instance = Instance {
        options: Options {
            vfs: 4,
            vectors: 32,
            msi: false,
            trace: None,
            config: Config::default(),
        },
        texts: BTreeMap::new(),
        written: String::new(),
        port: None,
    };
    instances()
        .get_or_insert_with(HashMap::new)
        .insert(object as usize, instance);
}

/// The object is freed; what was made of parts of ours is gone already.
pub(crate) extern "C" fn finalize(object: *mut Object) {
    let instance = instances()
        .as_mut()
        .and_then(|all| all.remove(&(object as usize)));
    drop(instance);
}

pub(crate) fn options(object: *mut Object) -> Option<Options> {
    with(object, |instance| instance.options.clone())
}

/// Keeps a port, and gives the address that it has from now on.
pub(crate) fn set_port(object: *mut Object, port: Port) -> Option<*mut Port> {
    with(object, |instance| {
        let port = instance.port.insert(Box::new(port));
        &raw mut **port
    })
}

/// The card that a function is of, and its number.
pub(crate) fn card(object: *mut Object) -> Option<(Arc<Card>, u16)> {
    with(object, |instance| {
        instance
            .port
            .as_ref()
            .map(|port| (port.card.clone(), port.number))
    })?
}

/// The region of its BAR.
pub(crate) fn region(object: *mut Object) -> Option<*mut ffi::MemoryRegion> {
    with(object, |instance| {
        instance
            .port
            .as_mut()
            .map(|port| port.region.as_mut_ptr().cast())
    })?
}

/// Gives QEMU an error with this text.
pub(crate) fn fail(errp: *mut *mut Error, text: &str) {
    let text = CString::new(text.replace('\0', " ")).unwrap_or_default();
    // SAFETY: All are strings of C, and the format takes one.
    unsafe {
        ffi::error_setg_internal(
            errp,
            c"connectx".as_ptr(),
            line!() as c_int,
            c"connectx".as_ptr(),
            c"%s".as_ptr(),
            text.as_ptr(),
        );
    }
}

fn choose(instance: &mut Instance, name: &str, value: &str) -> Result<(), String> {
    let options = &mut instance.options;
    let card = instance.port.as_ref().map(|port| port.card.clone());
    let within = |most: u32| {
        let number = value
            .parse()
            .ok()
            .filter(|number| (1..=most).contains(number));
        number.ok_or_else(|| format!("{name} is a number from 1 to {most}"))
    };
    match (name, &card) {
        ("vfs" | "vectors" | "msi" | "trace", Some(_)) => {
            return Err(format!("{name} cannot be changed once the device is there"));
        }
        ("vfs", None) => options.vfs = within(64)? as u16,
        ("vectors", None) => options.vectors = within(64)?,
        ("msi", None) => {
            options.msi = match value {
                "on" => true,
                "off" => false,
                _ => return Err("msi is on or off".to_owned()),
            }
        }
        ("trace", None) => options.trace = Some(value.to_owned()),
        (_, None) => options.config.set(name, value)?,
        (_, Some(card)) => card.set(name, value)?,
    }
    instance.texts.insert(name.to_owned(), value.to_owned());
    Ok(())
}

/// The guest writes a byte of a list of faults, or the newline that ends it.
pub(crate) fn write_fault(object: *mut Object, byte: u8) {
    let done = with(object, |instance| match byte {
        b'\n' => {
            let text = core::mem::take(&mut instance.written);
            choose(instance, "fault", &text)
        }
        _ => {
            instance.written.push(byte.into());
            Ok(())
        }
    });
    if let Some(Err(text)) = done {
        eprintln!("connectx: {text}");
    }
}

/// A property is read.
pub(crate) extern "C" fn get(
    object: *mut Object,
    visitor: *mut Visitor,
    name: *const c_char,
    _opaque: *mut c_void,
    errp: *mut *mut Error,
) {
    // SAFETY: QEMU gives a string of C.
    let key = unsafe { CStr::from_ptr(name) }.to_string_lossy();
    let text = with(object, |instance| instance.texts.get(&*key).cloned()).flatten();
    let text = CString::new(text.unwrap_or_default()).unwrap_or_default();
    let mut place = text.as_ptr().cast_mut();
    // SAFETY: This visitor only reads the string, which outlives the call.
    unsafe { ffi::visit_type_str(visitor, name, &mut place, errp) };
}

/// A property is written.
pub(crate) extern "C" fn set(
    object: *mut Object,
    visitor: *mut Visitor,
    name: *const c_char,
    _opaque: *mut c_void,
    errp: *mut *mut Error,
) {
    let mut place = core::ptr::null_mut();
    // SAFETY: This visitor allocates a string and puts its address there, if it succeeds.
    if !unsafe { ffi::visit_type_str(visitor, name, &mut place, errp) } {
        return;
    }
    // SAFETY: It succeeded.
    let value = unsafe { CStr::from_ptr(place) }
        .to_string_lossy()
        .into_owned();
    // SAFETY: It is ours to free, once, and is not used any more.
    unsafe { ffi::g_free(place.cast()) };
    // SAFETY: QEMU gives a string of C.
    let key = unsafe { CStr::from_ptr(name) }.to_string_lossy();
    if let Some(Err(text)) = with(object, |instance| choose(instance, &key, &value)) {
        fail(errp, &text);
    }
}
