//! The parameters of query strings -> columns of their values as logged. A query that needs more is named, and left to
//! Python (`query_strings.py` has the rules).
const std = @import("std");
const arrow = @import("arrow.zig");
const boundary = @import("boundary.zig");
const CodedColumn = @import("columns.zig").CodedColumn;
const gpa = boundary.gpa;
const Error = boundary.Error;

const most_names = 16;
const longest_name = 3; // letters

/// Names in small letters, as numbers of their bytes.
const Name = struct { bytes: u32 = 0, len: usize = 0 };

const Reader = struct {
    columns: [most_names]CodedColumn = @splat(.{}),
    names: [most_names]Name = @splat(.{}),
    count: usize = 0,
    is_of_client: *const [256]u8, // whether CloudFront never escapes this byte, so that a client did
    odd: std.ArrayList(i64) = .empty, // rows that Python reads

    /// names: separated by blanks. rows: those whose queries are read, ascending; all others are null.
    fn create(names: []const u8, is_of_client: *const [256]u8) Error!*Reader {
        const self = try gpa.create(Reader);
        self.* = .{ .is_of_client = is_of_client };
        var each = std.mem.splitScalar(u8, names, ' ');
        while (each.next()) |name| {
            std.debug.assert(name.len <= longest_name);
            for (name, 0..) |letter, at| self.names[self.count].bytes |= @as(u32, letter) << @intCast(8 * at);
            self.names[self.count].len = name.len;
            self.count += 1;
        }
        return self;
    }

    fn destroy(self: *Reader) void {
        for (&self.columns) |*column| column.deinit();
        self.odd.deinit(gpa);
        gpa.destroy(self);
    }

    fn queries(self: *Reader, ends: []const i32, bytes: []const u8, rows: []const i64) Error!void {
        const length = ends.len - 1;
        for (self.columns[0..self.count]) |*column| try column.reserve(length);
        var done: usize = 0;
        for (rows) |each| {
            const row: usize = @intCast(each);
            try self.nulls(row - done);
            done = row + 1;
            const query = bytes[@intCast(ends[row])..@intCast(ends[row + 1])];
            var values: [most_names]?[]const u8 = @splat(null);
            const is_odd = hasUnclearLayers(query, self.is_of_client) or !self.read(query, &values);
            if (is_odd) {
                try self.odd.append(gpa, each);
                try self.nulls(1);
            } else {
                for (self.columns[0..self.count], values[0..self.count]) |*column, value| try column.append(value);
            }
        }
        try self.nulls(length - done);
    }

    fn nulls(self: *Reader, rows: usize) Error!void {
        for (self.columns[0..self.count]) |*column| for (0..rows) |_| try column.append(null);
    }

    /// False if a name is encoded or repeated.
    fn read(self: *const Reader, query: []const u8, values: *[most_names]?[]const u8) bool {
        var start: usize = 0;
        while (start < query.len) {
            const end = std.mem.indexOfScalarPos(u8, query, start, '&') orelse query.len;
            const part = query[start..end];
            start = end + 1;
            const len = nameLength(part) orelse return false;
            if (len == 0 or len == part.len or part[len] != '=') continue;
            var bytes: u32 = 0;
            for (part[0..len], 0..) |letter, at| bytes |= @as(u32, std.ascii.toLower(letter)) << @intCast(8 * at);
            for (self.names[0..self.count], values[0..self.count]) |name, *value| {
                if (name.bytes != bytes or name.len != len) continue;
                if (value.* != null) return false;
                value.* = part[len + 1 ..];
            }
        }
        return true;
    }
};

/// The length of a part's name, up to the first length that no name has; null if the name has a strange byte.
fn nameLength(part: []const u8) ?usize {
    for (part[0..@min(part.len, longest_name + 1)], 0..) |byte, at| {
        if (byte == '=') return at;
        if (byte <= ' ' or byte >= 127 or byte == '%' or byte == '+' or byte == ';') return null;
    }
    return @min(part.len, longest_name);
}

/// Whether one escape may tell how many layers of encoding others have.
fn hasUnclearLayers(query: []const u8, is_of_client: *const [256]u8) bool {
    var has_percent = false;
    var has_client = false;
    var at: usize = 0;
    while (std.mem.indexOfScalarPos(u8, query, at, '%')) |found| {
        at = found + 1;
        if (query.len - at < 2) break;
        const high = std.fmt.charToDigit(query[at], 16) catch continue;
        const low = std.fmt.charToDigit(query[at + 1], 16) catch continue;
        const byte = high * 16 + low;
        has_percent = has_percent or byte == '%';
        has_client = has_client or is_of_client[byte] != 0;
    }
    return has_percent and has_client;
}

// ---- for ctypes

const Queries = extern struct { ends: [*]const i32, length: u64, bytes: [*]const u8, size: u64, rows: [*]const i64, count: u64 };

fn readInto(out: *?*Reader, names: []const u8, is_of_client: *const [256]u8, given: *const Queries) Error!void {
    const reader = try Reader.create(names, is_of_client);
    errdefer reader.destroy();
    const rows = given.rows[0..given.count];
    try reader.queries(given.ends[0 .. given.length + 1], given.bytes[0..given.size], rows);
    out.* = reader;
}

fn handOver(reader: *Reader, number: usize, out: *arrow.Array) Error!void {
    try arrow.handOver(CodedColumn, &reader.columns[number], out);
}

/// names: separated by blanks. is_of_client: for each byte whether CloudFront never escapes it. rows of the queries: in
/// ascending order.
export fn parameters_read(
    out: *?*Reader,
    names: [*]const u8,
    size: u64,
    is_of_client: *const [256]u8,
    queries: *const Queries,
) c_int {
    return boundary.guarded(readInto, .{ out, names[0..size], is_of_client, queries });
}

export fn parameters_column(reader: *Reader, number: u64, out: *arrow.Array) c_int {
    return boundary.guarded(handOver, .{ reader, number, out });
}

export fn parameters_odd(reader: *Reader, out: *[*]const i64) u64 {
    out.* = reader.odd.items.ptr;
    return reader.odd.items.len;
}

export fn parameters_free(reader: *Reader) void {
    reader.destroy();
}
