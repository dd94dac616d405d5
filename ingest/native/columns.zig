//! Growing columns in Arrow's layout: texts, texts with a dictionary, numbers. All memory belongs to the column.
const std = @import("std");
const arrow = @import("arrow.zig");
const boundary = @import("boundary.zig");
const gpa = boundary.gpa;
const Error = boundary.Error;

/// Random numbers of this process: nobody can choose texts whose hashes collide.
pub var seed: u64 = 0;

/// Texts that are looked up together at most.
pub const at_once = 64;

/// Arrow's validity bits. None are kept while no row is null.
pub const Validity = struct {
    bits: std.ArrayList(u8) = .empty,
    rows: usize = 0,
    nulls: usize = 0,

    pub fn append(self: *Validity, is_valid: bool) Error!void {
        if (is_valid and self.nulls == 0) {
            self.rows += 1;
            return;
        }
        if (self.nulls == 0) try self.begin();
        if (self.rows % 8 == 0) try self.bits.append(gpa, 0);
        if (is_valid) {
            self.bits.items[self.rows / 8] |= @as(u8, 1) << @intCast(self.rows % 8);
        } else {
            self.nulls += 1;
        }
        self.rows += 1;
    }

    fn begin(self: *Validity) Error!void {
        try self.bits.appendNTimes(gpa, 0xff, self.rows / 8);
        const rest: u3 = @intCast(self.rows % 8);
        if (rest > 0) try self.bits.append(gpa, (@as(u8, 1) << rest) - 1);
    }

    fn buffer(self: *const Validity) ?*const anyopaque {
        return if (self.nulls == 0) null else self.bits.items.ptr;
    }
};

/// Texts one behind the other.
pub const Texts = struct {
    ends: std.ArrayList(i32) = .empty, // Arrow's offsets: 0, then the end of each text
    bytes: std.ArrayList(u8) = .empty,

    pub fn count(self: *const Texts) usize {
        return self.ends.items.len -| 1;
    }

    pub fn at(self: *const Texts, number: usize) []const u8 {
        return self.bytes.items[@intCast(self.ends.items[number])..@intCast(self.ends.items[number + 1])];
    }

    pub fn append(self: *Texts, text: []const u8) Error!void {
        const end = std.math.cast(i32, self.bytes.items.len + text.len) orelse return error.TooLarge;
        if (self.ends.items.len == 0) try self.ends.append(gpa, 0);
        try self.ends.ensureUnusedCapacity(gpa, 1);
        try self.bytes.appendSlice(gpa, text);
        self.ends.appendAssumeCapacity(end);
    }

    pub fn deinit(self: *Texts) void {
        self.ends.deinit(gpa);
        self.bytes.deinit(gpa);
        self.* = .{};
    }

    pub fn buffers(self: *const Texts) [3]?*const anyopaque {
        return .{ null, if (self.ends.items.len == 0) &no_offsets else self.ends.items.ptr, self.bytes.items.ptr };
    }
};

const no_offsets: [1]i32 = .{0};

pub const TextColumn = struct {
    validity: Validity = .{},
    texts: Texts = .{},

    pub const buffer_count = 3;

    pub fn reserve(self: *TextColumn, more: usize) Error!void {
        try self.texts.ends.ensureUnusedCapacity(gpa, more + 1);
    }

    pub fn append(self: *TextColumn, value: ?[]const u8) Error!void {
        try self.validity.append(value != null);
        try self.texts.append(value orelse "");
    }

    pub fn rows(self: *const TextColumn) usize {
        return self.validity.rows;
    }

    pub fn nulls(self: *const TextColumn) usize {
        return self.validity.nulls;
    }

    pub fn buffers(self: *const TextColumn) [3]?*const anyopaque {
        const texts = self.texts.buffers();
        return .{ self.validity.buffer(), texts[1], texts[2] };
    }

    pub fn dictionary(_: *const TextColumn) ?*const Texts {
        return null;
    }

    pub fn deinit(self: *TextColumn) void {
        self.validity.bits.deinit(gpa);
        self.texts.deinit();
        self.* = .{};
    }
};

/// A code for each distinct text, from 0, in the order of first appearance.
pub const Dictionary = struct {
    const Slot = struct { tag: u32 = 0, number: u32 = 0 }; // number: code + 1; 0 is free

    texts: Texts = .{},
    slots: []Slot = &.{},
    last: i32 = -1, // the code of the last text: logs often repeat it

    pub fn code(self: *Dictionary, text: []const u8) Error!i32 {
        return self.find(text, hashOf(text));
    }

    /// The code of a text with this hash. `prepare` may be called for several texts first.
    fn find(self: *Dictionary, text: []const u8, hash: u64) Error!i32 {
        if (self.last >= 0 and equal(self.texts.at(@intCast(self.last)), text)) return self.last;
        if (self.slots.len < 2 * (self.texts.count() + 1)) try self.grow();
        const tag: u32 = @truncate(hash >> 32);
        const mask = self.slots.len - 1;
        var at = hash & mask;
        while (self.slots[at].number != 0) : (at = (at + 1) & mask) {
            const slot = self.slots[at];
            if (slot.tag == tag and equal(self.texts.at(slot.number - 1), text)) {
                self.last = @intCast(slot.number - 1);
                return self.last;
            }
        }
        try self.texts.append(text);
        self.slots[at] = .{ .tag = tag, .number = @intCast(self.texts.count()) };
        self.last = @intCast(self.texts.count() - 1);
        return self.last;
    }

    /// The codes of some texts: the memory that one waits for is fetched while others are looked up.
    pub fn codesOf(self: *Dictionary, texts: []const []const u8, codes: []i32) Error!void {
        var hashes: [at_once]u64 = undefined;
        for (texts, hashes[0..texts.len]) |text, *hash| {
            hash.* = hashOf(text);
            self.prepare(hash.*);
        }
        for (texts, hashes[0..texts.len]) |text, hash| self.approach(text.len, hash);
        for (texts, hashes[0..texts.len], codes) |text, hash, *found| found.* = try self.find(text, hash);
    }

    /// Fetches the text that is probably there, once its place is.
    fn approach(self: *const Dictionary, len: usize, hash: u64) void {
        if (self.slots.len == 0 or len == 0) return;
        const slot = self.slots[hash & (self.slots.len - 1)];
        if (slot.number == 0) return;
        const start: usize = @intCast(self.texts.ends.items[slot.number - 1]);
        if (start < self.texts.bytes.items.len) @prefetch(&self.texts.bytes.items[start], .{});
    }

    /// Fetches the place of a hash into the cache.
    fn prepare(self: *const Dictionary, hash: u64) void {
        if (self.slots.len > 0) @prefetch(&self.slots[hash & (self.slots.len - 1)], .{});
    }

    fn grow(self: *Dictionary) Error!void {
        const larger = try gpa.alloc(Slot, @max(64, 4 * self.slots.len));
        @memset(larger, .{});
        const mask = larger.len - 1;
        for (0..self.texts.count()) |number| {
            const hash = hashOf(self.texts.at(number));
            var at = hash & mask;
            while (larger[at].number != 0) at = (at + 1) & mask;
            larger[at] = .{ .tag = @truncate(hash >> 32), .number = @intCast(number + 1) };
        }
        gpa.free(self.slots);
        self.slots = larger;
    }

    pub fn forgetSlots(self: *Dictionary) void {
        gpa.free(self.slots);
        self.slots = &.{};
        self.last = -1;
    }

    pub fn deinit(self: *Dictionary) void {
        self.forgetSlots();
        self.texts.deinit();
        self.* = .{};
    }
};

fn hashOf(text: []const u8) u64 {
    return std.hash.Wyhash.hash(seed, text);
}

/// Most texts are short, and some eight bytes at a time are compared soonest.
pub fn equal(a: []const u8, b: []const u8) bool {
    const n = a.len;
    if (n != b.len) return false;
    if (n >= 8) {
        var at: usize = 0;
        while (at + 8 < n) : (at += 8) if (eight(a, at) != eight(b, at)) return false;
        return eight(a, n - 8) == eight(b, n - 8);
    }
    for (a, b) |x, y| if (x != y) return false;
    return true;
}

fn eight(text: []const u8, at: usize) u64 {
    return std.mem.readInt(u64, text[at..][0..8], .little);
}

/// Texts by their codes in a dictionary.
pub const CodedColumn = struct {
    validity: Validity = .{},
    codes: std.ArrayList(i32) = .empty,
    distinct: Dictionary = .{},

    pub const buffer_count = 2;

    pub fn reserve(self: *CodedColumn, more: usize) Error!void {
        try self.codes.ensureUnusedCapacity(gpa, more);
    }

    pub fn append(self: *CodedColumn, value: ?[]const u8) Error!void {
        try self.appendCode(if (value) |text| try self.distinct.code(text) else null);
    }

    /// Adds some rows: the memory that one waits for is fetched while others are looked up.
    pub fn appendAll(self: *CodedColumn, values: []const ?[]const u8) Error!void {
        var hashes: [64]u64 = undefined;
        for (values, hashes[0..values.len]) |value, *hash| if (value) |text| {
            hash.* = hashOf(text);
            self.distinct.prepare(hash.*);
        };
        for (values, hashes[0..values.len]) |value, hash| {
            try self.appendCode(if (value) |text| try self.distinct.find(text, hash) else null);
        }
    }

    /// Adds a row whose text already has this code.
    pub fn appendCode(self: *CodedColumn, code: ?i32) Error!void {
        try self.validity.append(code != null);
        try self.codes.append(gpa, code orelse 0);
    }

    pub fn rows(self: *const CodedColumn) usize {
        return self.validity.rows;
    }

    pub fn nulls(self: *const CodedColumn) usize {
        return self.validity.nulls;
    }

    pub fn buffers(self: *const CodedColumn) [3]?*const anyopaque {
        return .{ self.validity.buffer(), self.codes.items.ptr, null };
    }

    pub fn dictionary(self: *CodedColumn) ?*const Texts {
        self.distinct.forgetSlots();
        return &self.distinct.texts;
    }

    pub fn deinit(self: *CodedColumn) void {
        self.validity.bits.deinit(gpa);
        self.codes.deinit(gpa);
        self.distinct.deinit();
        self.* = .{};
    }
};

/// Numbers of type `T`; 0 where null.
pub fn NumberColumn(comptime T: type) type {
    return struct {
        validity: Validity = .{},
        values: std.ArrayList(T) = .empty,

        const Self = @This();
        pub const buffer_count = 2;

        pub fn reserve(self: *Self, more: usize) Error!void {
            try self.values.ensureUnusedCapacity(gpa, more);
        }

        pub fn append(self: *Self, value: ?T) Error!void {
            try self.validity.append(value != null);
            try self.values.append(gpa, value orelse 0);
        }

        pub fn rows(self: *const Self) usize {
            return self.validity.rows;
        }

        pub fn nulls(self: *const Self) usize {
            return self.validity.nulls;
        }

        pub fn buffers(self: *const Self) [3]?*const anyopaque {
            return .{ self.validity.buffer(), self.values.items.ptr, null };
        }

        pub fn dictionary(_: *const Self) ?*const Texts {
            return null;
        }

        pub fn deinit(self: *Self) void {
            self.validity.bits.deinit(gpa);
            self.values.deinit(gpa);
            self.* = .{};
        }
    };
}

export fn set_seed(random: u64) void {
    seed = random;
}

/// Any column, or none.
pub const Column = union(enum) {
    skipped,
    coded: CodedColumn,
    text: TextColumn,
    integer: NumberColumn(i64),
    small: NumberColumn(i32),
    real: NumberColumn(f64),

    pub fn reserve(self: *Column, more: usize) Error!void {
        switch (self.*) {
            .skipped => {},
            inline else => |*column| try column.reserve(more),
        }
    }

    /// Moves the column to Arrow.
    pub fn handOver(self: *Column, out: *arrow.Array) Error!void {
        switch (self.*) {
            .skipped => unreachable, // nobody asks for it
            inline else => |*column| try arrow.handOver(@TypeOf(column.*), column, out),
        }
    }

    pub fn deinit(self: *Column) void {
        switch (self.*) {
            .skipped => {},
            inline else => |*column| column.deinit(),
        }
    }
};
