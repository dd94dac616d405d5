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
    for (digits) |byte| {
        if (!isDigit(byte)) return null;
        value = value * 10 + (byte - '0');
    }
    return if (is_negative) -value else value;
}

/// 1 to 3 digits, as of a status.
pub fn small(text: []const u8) ?i32 {
    if (text.len == 0 or text.len > 3) return null;
    var value: i32 = 0;
    for (text) |byte| {
        if (!isDigit(byte)) return null;
        value = value * 10 + (byte - '0');
    }
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
            if (!isDigit(byte)) return null;
            value = value * 10 + (byte - '0');
        }
    }
    if (dot == null and text.len > most_real_digits) return null;
    const fraction = if (dot) |at| text.len - at - 1 else 0;
    return @as(f64, @floatFromInt(value)) / powers_of_ten[fraction];
}

/// Days since 1970 of `2026-01-12`.
pub fn day(text: []const u8) ?i64 {
    if (text.len != 10 or text[4] != '-' or text[7] != '-') return null;
    const year = small4(text[0..4]) orelse return null;
    const month = small(text[5..7]) orelse return null;
    const day_of_month = small(text[8..10]) orelse return null;
    if (year < 1 or month < 1 or month > 12 or day_of_month < 1 or day_of_month > daysIn(year, month)) return null;
    // years that begin in March, so that a leap day is a year's last day
    const y: i64 = if (month > 2) year else year - 1;
    const m: i64 = if (month > 2) month - 3 else month + 9;
    const days_before_month = @divFloor(153 * m + 2, 5);
    const leap_days = @divFloor(y, 4) - @divFloor(y, 100) + @divFloor(y, 400);
    return y * 365 + leap_days + days_before_month + day_of_month - 1 - 719_468;
}

fn daysIn(year: i32, month: i32) i32 {
    const is_leap = @mod(year, 4) == 0 and (@mod(year, 100) != 0 or @mod(year, 400) == 0);
    return switch (month) {
        2 => if (is_leap) 29 else 28,
        4, 6, 9, 11 => 30,
        else => 31,
    };
}

fn small4(text: []const u8) ?i32 {
    const high = small(text[0..2]) orelse return null;
    return high * 100 + (small(text[2..4]) orelse return null);
}

/// Seconds since midnight of `23:59:59`.
pub fn clock(text: []const u8) ?i64 {
    if (text.len != 8 or text[2] != ':' or text[5] != ':') return null;
    const hour = small(text[0..2]) orelse return null;
    const minute = small(text[3..5]) orelse return null;
    const second = small(text[6..8]) orelse return null;
    return if (hour > 23 or minute > 59 or second > 59) null else (hour * 60 + minute) * 60 + second;
}

fn isDigit(byte: u8) bool { // an optional digit would cost more than all else here
    return byte >= '0' and byte <= '9';
}
