//! The numbers beside a picture.

use slabfit_linux::text::{Bytes, Count, Grouped, Multiple, Share};

#[test]
fn numbers_are_written_as_people_read_them() {
    for (number, text) in [(0, "0"), (999, "999"), (1000, "1,000"), (u64::MAX, "18,446,744,073,709,551,615")] {
        assert_eq!(Grouped(number).to_string(), text);
    }
    for (count, text) in [(0, "0 holes"), (1, "1 hole"), (1000, "1,000 holes")] {
        assert_eq!(Count(count, "hole").to_string(), text);
    }
    for (bytes, text) in [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1 KiB"),
        (1025, "1.0 KiB"),
        (1536, "1.5 KiB"),
        (65_536, "64 KiB"),
        (1_003_520, "980 KiB"),
        (102_348, "99.9 KiB"),
        (102_399, "100.0 KiB"),
        (102_401, "100 KiB"),
        (1 << 20, "1 MiB"),
        (786_432, "768 KiB"),
        (3 << 29, "1.5 GiB"),
        (1 << 36, "64 GiB"),
        (u64::MAX, "16777216 TiB"),
    ] {
        assert_eq!(Bytes(bytes).to_string(), text, "{bytes}");
    }
    for (bytes, bits, text) in
        [(0, 10, "0 KiB"), (1_310_720, 18, "1,280 KiB"), (5 << 20, 20, "5 MiB"), (512, 9, "512 B")]
    {
        assert_eq!(Multiple { bytes, bits }.to_string(), text);
    }
    for (part, whole, text) in
        [(0, 0, "0.0 %"), (1, 3, "33.3 %"), (2, 3, "66.6 %"), (999_999, 1_000_000, "99.9 %"), (5, 5, "100.0 %")]
    {
        assert_eq!(Share(part, whole).to_string(), text);
    }
}
