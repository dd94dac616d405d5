//! Numbers as programs usually write them. Null for any other text, which Python then looks at.
const std = @import("std");

/// Digits of a number that always fits.
const most_integer_digits = 18;
/// Digits of a number that a double holds exactly.
const most_real_digits = 15;

const powers_of_ten = init: {
    var powers: [most_real_digits + 1]f64 = undefined;
    var power: f64 = 1;
    for (&powers) |*each| {
        each.* = power;
        power *= 10;
    }
    break :init powers;
};

/// `-` or nothing, then 1 to 18 digits.
pub fn integer(text: []const u8) ?i64 {
    const is_negative = text.len > 0 and text[0] == '-';
    const digits = if (is_negative) text[1..] else text;
    if (digits.len == 0 or digits.len > most_integer_digits) return null;
    var value: i64 = 0;
    for (digits) |digit| value = value * 10 + (digitOf(digit) orelse return null);
    return if (is_negative) -value else value;
}

/// 1 to 3 digits, as of a status.
pub fn small(text: []const u8) ?i32 {
    if (text.len == 0 or text.len > 3) return null;
    var value: i32 = 0;
    for (text) |digit| value = value * 10 + (digitOf(digit) orelse return null);
    return value;
}

/// Digits, and perhaps a dot and digits; 15 digits at most. One division of two exact numbers gives the nearest double.
pub fn real(text: []const u8) ?f64 {
    if (text.len == 0 or text.len > most_real_digits + 1) return null;
    var value: i64 = 0;
    var dot: ?usize = null;
    for (text, 0..) |byte, at| {
        if (byte == '.') {
            if (dot != null or at == 0 or at == text.len - 1) return null;
            dot = at;
        } else {
            value = value * 10 + (digitOf(byte) orelse return null);
        }
    }
    if (dot == null and text.len > most_real_digits) return null;
    const fraction = if (dot) |at| text.len - at - 1 else 0;
    return @as(f64, @floatFromInt(value)) / powers_of_ten[fraction];
}

fn digitOf(byte: u8) ?u8 {
    return if (byte >= '0' and byte <= '9') byte - '0' else null;
}
