//! What programs that keep a clock say of themselves, and the settings of chrony, which anybody may have written.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sealock_node::time::{self, TimeDaemon, chrony, timesyncd};

fuzz_target!(|bytes: &[u8]| {
    let text = String::from_utf8_lossy(bytes);
    let servers = ["10.77.0.2", "ntp.plant.internal"].map(str::to_owned);
    let _ = time::problem(TimeDaemon::Chrony, &chrony::read(&text), &servers);
    let _ = time::problem(TimeDaemon::Timesyncd, &timesyncd::read(&text), &servers);
    let _ = time::is_of_site(&text, &servers);
    // Told once it is told: a second time changes nothing, and nobody else is asked.
    let told = chrony::with_servers(&text, &servers);
    assert_eq!(chrony::with_servers(&told, &servers), told);
    assert_eq!(chrony::ours(&told), servers);
    assert_eq!(chrony::without_others(&told).matches("#sealock# ").count(), told.matches("#sealock# ").count() + servers.len());
    assert_eq!(timesyncd::ours(&timesyncd::drop_in(&servers)), servers);
});
