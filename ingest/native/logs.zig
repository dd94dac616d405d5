//! Whole lines of an access log in text -> columns. A line with anything unusual in it is named, and left to Python.
const std = @import("std");
const arrow = @import("arrow.zig");
const boundary = @import("boundary.zig");
const numbers = @import("numbers.zig");
const Column = @import("columns.zig").Column;
const gpa = boundary.gpa;
const Error = boundary.Error;

const block_bytes = 1 << 16;

/// A line that Python reads: its number, from 0, and its place in the data, without the newline.
const Odd = extern struct { line: i64, begin: i64, end: i64 };

const Reader = struct {
    columns: []Column, // one for each field of the header
    fields: [][]const u8, // of the current line
    read: []Read, // its numbers
    odd: std.ArrayList(Odd) = .empty,

    const Read = union { integer: ?i64, small: ?i32, real: ?f64 };

    fn create(kinds: []const u8, rows: usize) Error!*Reader {
        const self = try gpa.create(Reader);
        errdefer gpa.destroy(self);
        const columns = try gpa.alloc(Column, kinds.len);
        errdefer gpa.free(columns);
        const fields = try gpa.alloc([]const u8, kinds.len);
        errdefer gpa.free(fields);
        const read = try gpa.alloc(Read, kinds.len);
        errdefer gpa.free(read);
        for (columns, kinds) |*column, kind| column.* = switch (kind) {
            'c' => .{ .coded = .{} },
            't' => .{ .text = .{} },
            'i' => .{ .integer = .{} },
            's' => .{ .small = .{} },
            'r' => .{ .real = .{} },
            else => .skipped,
        };
        errdefer for (columns) |*column| column.deinit();
        for (columns) |*column| try column.reserve(rows);
        self.* = .{ .columns = columns, .fields = fields, .read = read };
        return self;
    }

    fn destroy(self: *Reader) void {
        for (self.columns) |*column| column.deinit();
        gpa.free(self.columns);
        gpa.free(self.fields);
        gpa.free(self.read);
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
                if (field < self.fields.len) {
                    const last = if (is_end and may_be_odd) withoutReturns(data, start, end) else end;
                    self.fields[field] = data[start..last];
                }
                field += 1;
                start = end + 1;
                if (!is_end) continue;
                const is_usual = field == self.fields.len and end > begin and
                    (!may_be_odd or isUsual(data[begin..withoutReturns(data, begin, end)])) and self.readNumbers();
                if (is_usual) {
                    try self.append();
                } else {
                    try self.odd.append(gpa, .{ .line = line, .begin = @intCast(begin), .end = @intCast(end) });
                }
                line += 1;
                field = 0;
                begin = start;
            }
        }
    }

    /// False if one of the line's numbers is not written as CloudFront writes it.
    fn readNumbers(self: *Reader) bool {
        for (self.columns, self.fields, self.read) |*column, text, *read| switch (column.*) {
            .integer => read.* = .{ .integer = if (isNone(text)) null else numbers.integer(text) orelse return false },
            .small => read.* = .{ .small = if (isNone(text)) null else numbers.small(text) orelse return false },
            .real => read.* = .{ .real = if (isNone(text)) null else numbers.real(text) orelse return false },
            else => {},
        };
        return true;
    }

    fn append(self: *Reader) Error!void {
        for (self.columns, self.fields, self.read) |*column, text, read| switch (column.*) {
            .skipped => {},
            .coded => |*coded| try coded.append(known(text)),
            .text => |*texts| try texts.append(known(text)),
            .integer => |*integers| try integers.append(read.integer),
            .small => |*smalls| try smalls.append(read.small),
            .real => |*reals| try reals.append(read.real),
        };
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

/// Reads whole lines. kinds: for each field of the header `c` coded, `t` text, `i` integer, `s` integer from 0 to 999,
/// `r` real, else skipped.
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
