//! Any bytes are a device model or an error: never a panic, and what is read has a profile or says why not.
#![no_main]

use gateway_mtconnect::device::read_devices;
use gateway_mtconnect::mapping::Mapping;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let devices = match read_devices(bytes) {
        Ok(devices) => devices,
        Err(error) => {
            assert!(error.to_string().starts_with("line "), "{error}");
            return;
        }
    };
    assert!(!devices.devices.is_empty());
    for device in &devices.devices {
        let Ok(mapping) = Mapping::new(device, "profile") else { continue };
        for (place, item) in device.data_items.iter().enumerate() {
            assert_eq!(mapping.signal_of_id(&item.id), Some(place as u16), "{}", item.id);
        }
        assert_eq!(mapping.profile().signal(mapping.gap()).meaning.as_ref(), "tongmai:gap");
    }
});
