//! Web addresses in their common form -> host, path and query string. All others are named, and left to Python
//! (`PLACES` in `ingest/events/addresses.py` has the rules).
const std = @import("std");
const arrow = @import("arrow.zig");
const boundary = @import("boundary.zig");
const columns = @import("columns.zig");
const gpa = boundary.gpa;
const Error = boundary.Error;

const Place = struct { host: ?[]const u8, path: ?[]const u8, query: ?[]const u8 };

const Reader = struct {
    parts: [3]columns.TextColumn = @splat(.{}), // host, path, query
    odd: std.ArrayList(i64) = .empty,

    fn addresses(self: *Reader, ends: []const i32, bytes: []const u8) Error!void {
        for (&self.parts) |*part| try part.reserve(ends.len);
        for (ends[0 .. ends.len - 1], ends[1..], 0..) |start, end, row| {
            const place = placeOf(bytes[@intCast(start)..@intCast(end)]) orelse odd: {
                try self.odd.append(gpa, @intCast(row));
                break :odd Place{ .host = null, .path = null, .query = null };
            };
            try self.parts[0].append(place.host);
            try self.parts[1].append(place.path);
            try self.parts[2].append(place.query);
        }
    }

    fn destroy(self: *Reader) void {
        for (&self.parts) |*part| part.deinit();
        self.odd.deinit(gpa);
        gpa.destroy(self);
    }
};

fn placeOf(text: []const u8) ?Place {
    if (text.len > 1 and text[0] == '/' and text[1] != '/') {
        return .{ .host = null, .path = text[0..pathEnd(text)], .query = queryOf(text) };
    }
    const scheme: usize = for ([_][]const u8{ "https://", "http://" }) |each| {
        if (std.mem.startsWith(u8, text, each)) break each.len;
    } else return null;
    const behind = text[scheme..];
    var end: usize = 0;
    while (end < behind.len and isOfHost(behind[end])) end += 1;
    if (end == 0) return null;
    const path = behind[end..pathEnd(behind)];
    if (end < behind.len and behind[end] != '/' and behind[end] != '?' and behind[end] != '#') return null;
    return .{ .host = behind[0..end], .path = if (path.len == 0) "/" else path, .query = queryOf(text) };
}

fn isOfHost(byte: u8) bool {
    return std.ascii.isLower(byte) or std.ascii.isDigit(byte) or byte == '.' or byte == '-';
}

fn pathEnd(text: []const u8) usize {
    return std.mem.indexOfAny(u8, text, "?#") orelse text.len;
}

/// What stands behind the first question mark, of a text with an equals sign.
fn queryOf(text: []const u8) ?[]const u8 {
    const mark = std.mem.indexOfScalar(u8, text, '?') orelse return null;
    if (std.mem.indexOfScalar(u8, text, '=') == null) return null;
    const behind = text[mark + 1 ..];
    const query = behind[0 .. std.mem.indexOfScalar(u8, behind, '#') orelse behind.len];
    return if (query.len > 0) query else null;
}

// ---- for ctypes

fn create(out: *?*Reader) Error!void {
    const self = try gpa.create(Reader);
    self.* = .{};
    out.* = self;
}

export fn places_read(out: *?*Reader, ends: [*]const i32, count: u64, bytes: [*]const u8, size: u64) c_int {
    const status = boundary.guarded(create, .{out});
    if (status != 0) return status;
    return boundary.guarded(Reader.addresses, .{ out.*.?, ends[0 .. count + 1], bytes[0..size] });
}

fn handOver(reader: *Reader, part: u64, out: *arrow.Array) Error!void {
    try arrow.handOver(columns.TextColumn, &reader.parts[part], out);
}

export fn places_part(reader: *Reader, part: u64, out: *arrow.Array) c_int {
    return boundary.guarded(handOver, .{ reader, part, out });
}

/// The rows that Python reads, in ascending order.
export fn places_odd(reader: *Reader, out: *[*]const i64) u64 {
    out.* = reader.odd.items.ptr;
    return reader.odd.items.len;
}

export fn places_free(reader: *Reader) void {
    reader.destroy();
}
