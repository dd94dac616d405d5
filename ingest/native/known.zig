//! Remembers what Python made of each text: codes of texts, and results by code. Lives for a run of one partition.
const std = @import("std");
const arrow = @import("arrow.zig");
const boundary = @import("boundary.zig");
const columns = @import("columns.zig");
const gpa = boundary.gpa;
const Error = boundary.Error;

const none = -1; // the code of a null

/// Texts of an Arrow array.
const Given = extern struct {
    ends: [*]const i32,
    bytes: [*]const u8,
    size: u64,
    length: u64,

    fn at(self: *const Given, number: usize) []const u8 {
        const ends = self.ends[0 .. self.length + 1];
        return self.bytes[0..self.size][@intCast(ends[number])..@intCast(ends[number + 1])];
    }
};

/// One result of each text, and where its distinct values stand in the column that is made now.
const Result = struct {
    codes: std.ArrayList(i32) = .empty, // by the code of the text
    distinct: columns.Dictionary = .{},
    places: std.ArrayList(i32) = .empty, // by the code of the result; `none` outside of `take`

    fn add(self: *Result, value: ?[]const u8) Error!void {
        const code = if (value) |text| try self.distinct.code(text) else none;
        try self.codes.append(gpa, code);
        if (code == self.places.items.len) try self.places.append(gpa, none);
    }

    /// The results of some texts, as a column whose dictionary holds these alone.
    fn take(self: *Result, codes: []const i32, out: *columns.CodedColumn) Error!void {
        const used = &out.distinct.texts;
        try out.reserve(codes.len);
        for (codes) |each| {
            const code = self.codes.items[@intCast(each)];
            if (code == none) {
                try out.appendCode(null);
                continue;
            }
            const place = &self.places.items[@intCast(code)];
            if (place.* == none) {
                place.* = @intCast(used.count());
                try used.append(self.distinct.texts.at(@intCast(code)));
            }
            try out.appendCode(place.*);
        }
        for (codes) |each| {
            const code = self.codes.items[@intCast(each)];
            if (code != none) self.places.items[@intCast(code)] = none;
        }
    }

    fn deinit(self: *Result) void {
        self.codes.deinit(gpa);
        self.distinct.deinit();
        self.places.deinit(gpa);
    }
};

const most_results = 8;

const Known = struct {
    texts: columns.Dictionary = .{},
    results: [most_results]Result = @splat(.{}),

    fn destroy(self: *Known) void {
        self.texts.deinit();
        for (&self.results) |*result| result.deinit();
        gpa.destroy(self);
    }

    fn bytes(self: *const Known) usize {
        var sum = self.texts.texts.bytes.items.len + 32 * self.texts.texts.count();
        for (&self.results) |*result| sum += result.distinct.texts.bytes.items.len + 32 * result.distinct.texts.count();
        return sum;
    }
};

// ---- for ctypes

fn create(out: *?*Known) Error!void {
    const known = try gpa.create(Known);
    known.* = .{};
    out.* = known;
}

fn find(known: *Known, given: *const Given, codes: []i32) Error!void {
    var some: [columns.at_once][]const u8 = undefined;
    var start: usize = 0;
    while (start < codes.len) : (start += some.len) {
        const count = @min(some.len, codes.len - start);
        for (some[0..count], start..) |*text, number| text.* = given.at(number);
        try known.texts.codesOf(some[0..count], codes[start..][0..count]);
    }
}

fn newTexts(known: *Known, from: usize, out: *arrow.Array) Error!void {
    var found: columns.TextColumn = .{};
    errdefer found.deinit();
    for (from..known.texts.texts.count()) |number| try found.append(known.texts.texts.at(number));
    try arrow.handOver(columns.TextColumn, &found, out);
}

fn add(known: *Known, number: usize, given: *const Given, is_valid: []const u8) Error!void {
    const result = &known.results[number];
    for (is_valid, 0..) |valid, at| try result.add(if (valid != 0) given.at(at) else null);
}

fn take(known: *Known, number: usize, codes: []const i32, out: *arrow.Array) Error!void {
    var found: columns.CodedColumn = .{};
    errdefer found.deinit();
    try known.results[number].take(codes, &found);
    try arrow.handOver(columns.CodedColumn, &found, out);
}

export fn known_new(out: *?*Known) c_int {
    return boundary.guarded(create, .{out});
}

/// The code of each text, known or new. Codes count from 0.
export fn known_find(known: *Known, given: *const Given, codes: [*]i32) c_int {
    return boundary.guarded(find, .{ known, given, codes[0..given.length] });
}

export fn known_count(known: *const Known) u64 {
    return known.texts.texts.count();
}

/// Estimated.
export fn known_bytes(known: *const Known) u64 {
    return known.bytes();
}

/// The texts from this code on.
export fn known_texts(known: *Known, from: u64, out: *arrow.Array) c_int {
    return boundary.guarded(newTexts, .{ known, from, out });
}

/// Adds a result of the next texts.
export fn known_add(known: *Known, number: u64, given: *const Given, is_valid: [*]const u8) c_int {
    return boundary.guarded(add, .{ known, number, given, is_valid[0..given.length] });
}

export fn known_take(known: *Known, number: u64, codes: [*]const i32, length: u64, out: *arrow.Array) c_int {
    return boundary.guarded(take, .{ known, number, codes[0..length], out });
}

export fn known_free(known: *Known) void {
    known.destroy();
}
