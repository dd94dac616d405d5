//! Whole lines of an access log in text -> columns. A line with anything unusual in it is named, and left to Python.
const std = @import("std");
const arrow = @import("arrow.zig");
const boundary = @import("boundary.zig");
const numbers = @import("numbers.zig");
const columns_of = @import("columns.zig");
const Column = columns_of.Column;
const CodedColumn = columns_of.CodedColumn;
const gpa = boundary.gpa;
const Error = boundary.Error;

const block_bytes = 1 << 16;

/// No integer has so many digits, and no real that is read is negative.
const no_number = std.math.minInt(i64);
const rows_at_once = 64; // their fields stay in the nearest cache

/// A line that Python reads: its number, from 0, and its place in the data, without the newline.
const Odd = extern struct { line: i64, begin: i64, end: i64 };

const Reader = struct {
    width: usize,
    columns: []Column, // one for each field of the header
    numbers: []const usize, // the fields that are numbers
    date: ?usize = null, // field whose column has the times
    clock: ?usize = null,
    last_date: [10]u8 = @splat(0),
    last_day: i64 = 0,

    // usual lines that are in no column yet
    rows: usize = 0,
    fields: [][]const u8,
    read: []i64, // their numbers; the bits of reals

    odd: std.ArrayList(Odd) = .empty,

    fn create(kinds: []const u8, rows: usize) Error!*Reader {
        const self = try gpa.create(Reader);
        errdefer gpa.destroy(self);
        const columns = try gpa.alloc(Column, kinds.len);
        errdefer gpa.free(columns);
        const fields = try gpa.alloc([]const u8, kinds.len * rows_at_once);
        errdefer gpa.free(fields);
        const read = try gpa.alloc(i64, kinds.len * rows_at_once);
        errdefer gpa.free(read);
        for (columns, kinds) |*column, kind| column.* = switch (kind) {
            'c' => .{ .coded = .{} },
            't' => .{ .text = .{} },
            'i', 'd' => .{ .integer = .{} },
            's' => .{ .small = .{} },
            'r' => .{ .real = .{} },
            else => .skipped,
        };
        errdefer for (columns) |*column| column.deinit();
        for (columns) |*column| try column.reserve(rows);
        const numbered = try gpa.alloc(usize, kinds.len);
        var count: usize = 0;
        for (kinds, 0..) |kind, field| switch (kind) {
            'i', 's', 'r' => {
                numbered[count] = field;
                count += 1;
            },
            else => {},
        };
        self.* = .{
            .width = kinds.len,
            .columns = columns,
            .numbers = numbered[0..count],
            .date = std.mem.indexOfScalar(u8, kinds, 'd'),
            .clock = std.mem.indexOfScalar(u8, kinds, 'h'),
            .fields = fields,
            .read = read,
        };
        return self;
    }

    fn destroy(self: *Reader) void {
        for (self.columns) |*column| column.deinit();
        gpa.free(self.columns);
        gpa.free(self.fields);
        gpa.free(self.read);
        gpa.free(self.numbers.ptr[0..self.width]);
        self.odd.deinit(gpa);
        gpa.destroy(self);
    }

    fn lines(self: *Reader, data: []const u8) Error!void {
        const may_be_odd = !isPlain(data);
        var places: [block_bytes]u32 = undefined;
        var line: i64 = 0;
        var field: usize = 0; // how many of this line are complete
        var begin: usize = 0; // of the line
        var start: usize = 0; // of the field
        var at: usize = 0;
        while (at < data.len) : (at += block_bytes) {
            for (separators(data[at..@min(at + block_bytes, data.len)], &places)) |place| {
                const end = at + place;
                const is_end = data[end] == '\n';
                if (field < self.width) {
                    const last = if (is_end and may_be_odd) withoutReturns(data, start, end) else end;
                    self.fields[self.rows * self.width + field] = data[start..last];
                }
                field += 1;
                start = end + 1;
                if (!is_end) continue;
                const is_usual = field == self.width and end > begin and
                    (!may_be_odd or isUsual(data[begin..withoutReturns(data, begin, end)])) and self.readNumbers();
                if (is_usual) {
                    self.rows += 1;
                    if (self.rows == rows_at_once) try self.flush();
                } else {
                    try self.odd.append(gpa, .{ .line = line, .begin = @intCast(begin), .end = @intCast(end) });
                }
                line += 1;
                field = 0;
                begin = start;
            }
        }
        try self.flush();
    }

    /// False if the line's time or one of its numbers is not written as CloudFront writes it.
    fn readNumbers(self: *Reader) bool {
        const fields = self.fields[self.rows * self.width ..][0..self.width];
        const found = self.read[self.rows * self.width ..][0..self.width];
        if (self.date) |date| if (self.clock) |clock| {
            found[date] = self.time(fields[date], fields[clock]) orelse return false;
        };
        for (self.numbers) |field| {
            const text = fields[field];
            found[field] = if (isNone(text)) no_number else switch (self.columns[field]) {
                .integer => numbers.integer(text) orelse return false,
                .small => numbers.small(text) orelse return false,
                .real => @bitCast(numbers.real(text) orelse return false),
                else => unreachable,
            };
        }
        return true;
    }

    /// Microseconds since 1970. Days repeat, so only a new one is computed.
    fn time(self: *Reader, date: []const u8, clock: []const u8) ?i64 {
        if (date.len != self.last_date.len) return null;
        if (!std.mem.eql(u8, date, &self.last_date)) {
            self.last_day = numbers.day(date) orelse return null;
            self.last_date = date[0..10].*;
        }
        const second = numbers.clock(clock) orelse return null;
        return (self.last_day * 86_400 + second) * 1_000_000;
    }

    /// Adds the waiting lines to their columns, one column after the other.
    fn flush(self: *Reader) Error!void {
        for (self.columns, 0..) |*column, field| switch (column.*) {
            .skipped => {},
            .coded => |*coded| try self.code(coded, field),
            .text => |*texts| for (0..self.rows) |row| try texts.append(known(self.fields[row * self.width + field])),
            .integer => |*integers| for (0..self.rows) |row| try integers.append(self.number(row, field)),
            .small => |*smalls| for (0..self.rows) |row| {
                try smalls.append(if (self.number(row, field)) |found| @intCast(found) else null);
            },
            .real => |*reals| for (0..self.rows) |row| {
                try reals.append(if (self.number(row, field)) |found| @bitCast(found) else null);
            },
        };
        self.rows = 0;
    }

    fn number(self: *const Reader, row: usize, field: usize) ?i64 {
        const found = self.read[row * self.width + field];
        return if (found == no_number) null else found;
    }

    fn code(self: *Reader, coded: *CodedColumn, field: usize) Error!void {
        var texts: [rows_at_once]?[]const u8 = undefined;
        for (texts[0..self.rows], 0..) |*text, row| text.* = known(self.fields[row * self.width + field]);
        try coded.appendAll(texts[0..self.rows]);
    }
};

fn isNone(text: []const u8) bool {
    return text.len == 0 or (text.len == 1 and text[0] == '-');
}

fn known(text: []const u8) ?[]const u8 {
    return if (isNone(text)) null else text;
}

const Block = @Vector(64, u8);

/// Whether there are neither carriage returns nor bytes above 127.
fn isPlain(data: []const u8) bool {
    var at: usize = 0;
    while (at + 64 <= data.len) : (at += 64) {
        const block: Block = data[at..][0..64].*;
        const is_odd = @as(u64, @bitCast(block == @as(Block, @splat('\r')))) | @as(u64, @bitCast(block > @as(Block, @splat(127))));
        if (is_odd != 0) return false;
    }
    for (data[at..]) |byte| if (byte == '\r' or byte > 127) return false;
    return true;
}

/// Whether a line without its end is valid UTF-8 and has no carriage return.
fn isUsual(line: []const u8) bool {
    return line.len > 0 and std.mem.indexOfScalar(u8, line, '\r') == null and std.unicode.utf8ValidateSlice(line);
}

/// Where a text ends without the carriage returns at its end.
fn withoutReturns(data: []const u8, start: usize, end: usize) usize {
    var last = end;
    while (last > start and data[last - 1] == '\r') last -= 1;
    return last;
}

/// The positions of tabs and newlines.
fn separators(data: []const u8, places: *[block_bytes]u32) []const u32 {
    var count: usize = 0;
    var at: usize = 0;
    while (at + 64 <= data.len) : (at += 64) {
        const block: Block = data[at..][0..64].*;
        var found = @as(u64, @bitCast(block == @as(Block, @splat('\t')))) | @as(u64, @bitCast(block == @as(Block, @splat('\n'))));
        while (found != 0) : (found &= found - 1) {
            places[count] = @intCast(at + @ctz(found));
            count += 1;
        }
    }
    for (data[at..], at..) |byte, place| if (byte == '\t' or byte == '\n') {
        places[count] = @intCast(place);
        count += 1;
    };
    return places[0..count];
}

// ---- for ctypes

fn readInto(out: *?*Reader, kinds: []const u8, data: []const u8, rows: usize) Error!void {
    const reader = try Reader.create(kinds, rows);
    out.* = reader;
    try reader.lines(data);
}

fn handOver(reader: *Reader, field: usize, out: *arrow.Array) Error!void {
    try reader.columns[field].handOver(out);
}

/// Reads whole lines. kinds: for each field of the header `d` date, `h` time of day, `c` coded, `t` text, `i` integer, `s` integer from 0 to 999,
/// `r` real, else skipped. The column of the date has the times, if there are both.
export fn logs_read(out: *?*Reader, kinds: [*]const u8, width: u64, data: [*]const u8, size: u64, rows: u64) c_int {
    return boundary.guarded(readInto, .{ out, kinds[0..width], data[0..size], rows });
}

export fn logs_column(reader: *Reader, field: u64, out: *arrow.Array) c_int {
    return boundary.guarded(handOver, .{ reader, field, out });
}

/// The lines that Python reads, in ascending order.
export fn logs_odd(reader: *Reader, out: *[*]const Odd) u64 {
    out.* = reader.odd.items.ptr;
    return reader.odd.items.len;
}

export fn logs_free(reader: *Reader) void {
    reader.destroy();
}
