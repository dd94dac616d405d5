//! Lines of JSON events -> the texts of their fields, driven by a table of the fields that the schemas describe. A line
//! with anything unusual in it is named, and left to Python; so is all that a text means.
const std = @import("std");
const arrow = @import("arrow.zig");
const boundary = @import("boundary.zig");
const columns = @import("columns.zig");
const json = @import("json.zig");
const gpa = boundary.gpa;

const Failure = boundary.Error || json.Error;

const most_fields = 128; // of an object in the schemas
const most_shapes = 32;
const most_marks = 32; // keys that shapes are recognised by
const most_unknown = 64; // keys of an object that no schema has
const most_parted = 32;
const most_parts = 128; // of an object's keys
const none = std.math.maxInt(u32);

// ---- the table, as Python writes it

const Name = extern struct { start: u32, length: u32 };

/// A field of an object. The fields of an object, and the values of a column by priority, lie side by side.
const Field = extern struct {
    key: Name,
    kinds: u32, // `json.Kind.bit` of what it may be; 0 for anything
    slot: u32, // of its text; `none` for a field without a column
    flags: u32,
    least: u32, // bytes
    most: u32, // bytes; 0 for no limit
    first: u32, // its fields
    count: u32,

    const is_kept = 1; // written into the properties although it has a column
    const is_free = 2; // the sender chooses its keys
    const is_required = 4;
    const is_unusual = 8; // an event with this field is left to Python
    const is_version = 16;
    const empty_is_none = 32; // because its column has several fields
    const is_json = 64; // its text is its JSON

    fn has(self: Field, flag: u32) bool {
        return self.flags & flag != 0;
    }

    /// Whether only what has no column of it is written into the properties.
    fn isParted(self: Field) bool {
        return self.count > 0 and !self.has(is_kept | is_free);
    }

    fn isLeftOver(self: Field) bool {
        return self.has(is_kept | is_free) or (self.slot == none and self.count == 0);
    }
};

const Shape = extern struct {
    first: u32, // its fields
    count: u32,
    all: u32, // the marks that an event has, as bits
    any: u32,
    batch: Name, // the text of the event's kind that marks a batch
    kind: u32, // slot of the event's kind
    versions: u32, // as bits
};

/// The texts of two columns, or of one, as they identify a device.
const Trait = extern struct {
    name: Name,
    slots: [2]Range,
};
const Range = extern struct { first: u32, count: u32 };

const Table = extern struct {
    names: [*]const u8,
    names_size: u64,
    fields: [*]const Field,
    fields_count: u64,
    shapes: [*]const Shape,
    shapes_count: u64,
    marks: [*]const Name,
    marks_count: u64,
    traits: [*]const Trait,
    traits_count: u64,
    slots: u32,
    time: u32, // slot of the event's time
    ids: Range, // slots of its id
};

// ---- lines

const Numbers = columns.NumberColumn(i64);

const Reader = struct {
    names: []const u8,
    fields: []const Field,
    shapes: []const Shape,
    marks: []const Name,
    traits: []const Trait,
    time: u32,
    ids: Range,
    tokens: *[json.most_tokens]json.Token,
    slots: []?[]const u8, // of the current line
    texts: []columns.CodedColumn,
    is_used: []bool,
    rows: Numbers = .{},
    times: Numbers = .{},
    shape: Numbers = .{},
    event_ids: columns.TextColumn = .{},
    properties: columns.TextColumn = .{},
    device: columns.CodedColumn = .{},
    signature: columns.CodedColumn = .{},
    odd: std.ArrayList(i64) = .empty, // lines that Python reads
    memory: [3][]u8 = @splat(&.{}), // for texts of the current line: without escapes, properties, joined

    fn create(table: Table) boundary.Error!*Reader {
        const self = try gpa.create(Reader);
        self.* = .{
            .names = try gpa.dupe(u8, table.names[0..table.names_size]),
            .fields = try gpa.dupe(Field, table.fields[0..table.fields_count]),
            .shapes = try gpa.dupe(Shape, table.shapes[0..table.shapes_count]),
            .marks = try gpa.dupe(Name, table.marks[0..table.marks_count]),
            .traits = try gpa.dupe(Trait, table.traits[0..table.traits_count]),
            .time = table.time,
            .ids = table.ids,
            .tokens = try gpa.create([json.most_tokens]json.Token),
            .slots = try gpa.alloc(?[]const u8, table.slots),
            .texts = try gpa.alloc(columns.CodedColumn, table.slots),
            .is_used = try gpa.alloc(bool, table.slots),
        };
        for (self.texts) |*column| column.* = .{};
        @memset(self.is_used, false);
        return self;
    }

    fn destroy(self: *Reader) void {
        self.clear();
        gpa.free(self.names);
        gpa.free(self.fields);
        gpa.free(self.shapes);
        gpa.free(self.marks);
        gpa.free(self.traits);
        gpa.destroy(self.tokens);
        gpa.free(self.slots);
        gpa.free(self.texts);
        gpa.free(self.is_used);
        self.odd.deinit(gpa);
        for (self.memory) |each| gpa.free(each);
        gpa.destroy(self);
    }

    fn clear(self: *Reader) void {
        for (self.texts) |*column| column.deinit();
        @memset(self.is_used, false);
        self.rows.deinit();
        self.times.deinit();
        self.shape.deinit();
        self.event_ids.deinit();
        self.properties.deinit();
        self.device.deinit();
        self.signature.deinit();
        self.odd.clearRetainingCapacity();
    }

    /// Reads the lines that are not rejected. `keys` hashes the ids of events; `key_of` says which one for each line.
    fn lines(self: *Reader, data: []const u8, ends: []const i32, rejected: []const u8, keys: []const u8, key_ends: []const i32, key_of: []const i32) boundary.Error!void {
        self.clear();
        var longest: usize = 0;
        for (ends[0 .. ends.len - 1], ends[1..]) |start, end| longest = @max(longest, @as(usize, @intCast(end - start)));
        for (&self.memory) |*each| {
            if (each.len < 2 * longest + 1024) each.* = try gpa.realloc(each.*, 2 * longest + 1024);
        }
        try self.event_ids.reserve(key_of.len);
        try self.properties.reserve(key_of.len);
        for (rejected, key_of, 0..) |is_rejected, key, number| {
            if (is_rejected != 0) continue;
            const text = data[@intCast(ends[number])..@intCast(ends[number + 1])];
            const own: usize = @intCast(key);
            const event_key = keys[@intCast(key_ends[own])..@intCast(key_ends[own + 1])];
            self.line(number, text, event_key) catch |failure| switch (failure) {
                error.Unusual => try self.odd.append(gpa, @intCast(number)),
                error.OutOfMemory => return error.OutOfMemory,
                error.TooLarge => return error.TooLarge,
            };
        }
        for (self.texts, self.is_used) |*column, is_used| if (is_used) try self.padTo(column, self.rows.rows());
    }

    fn padTo(_: *Reader, column: *columns.CodedColumn, rows: usize) boundary.Error!void {
        while (column.rows() < rows) try column.append(null);
    }

    fn line(self: *Reader, number: usize, text: []const u8, event_key: []const u8) Failure!void {
        const document = try json.Scanner.document(std.mem.trim(u8, text, " \t\r\n"), self.tokens);
        if (document.tokens[0].kind != .object) return error.Unusual;
        const shape = try self.recognised(&document);
        const fields = self.fields[self.shapes[shape].first..][0..self.shapes[shape].count];
        var walk = Walk{
            .reader = self,
            .document = &document,
            .shape = self.shapes[shape],
            .decoded = .{ .bytes = self.memory[0] },
            .left = .{ .bytes = self.memory[1] },
        };
        @memset(self.slots, null);
        try walk.left.append("{");
        try walk.object(fields, 0, .written);
        try walk.left.append("}");
        try self.event(number, text, event_key, shape, &walk);
    }

    /// The shape of an event: the first whose marks it has.
    fn recognised(self: *const Reader, document: *const json.Document) json.Error!usize {
        var found: u32 = 0;
        var at: u32 = 1;
        while (at < document.tokens[0].next) : (at = document.tokens[at + 1].next) {
            const key = document.inner(at);
            for (self.marks, 0..) |mark, bit| if (columns.equal(self.name(mark), key)) {
                found |= @as(u32, 1) << @intCast(bit);
            };
        }
        for (self.shapes, 0..) |shape, number| {
            if (found & shape.all == shape.all and (shape.any == 0 or found & shape.any != 0)) return number;
        }
        return error.Unusual;
    }

    fn name(self: *const Reader, of: Name) []const u8 {
        return self.names[of.start..][0..of.length];
    }

    /// The first known text of a column.
    fn known(self: *const Reader, slots: Range) ?[]const u8 {
        for (self.slots[slots.first..][0..slots.count]) |text| if (text != null) return text;
        return null;
    }

    /// The id that the event was sent with. An empty one is none.
    fn givenId(self: *const Reader) ?[]const u8 {
        for (self.slots[self.ids.first..][0..self.ids.count]) |text| if (text) |id| if (id.len > 0) return id;
        return null;
    }

    /// Adds the event that was read. Nothing of a line is added before all of it was found usual.
    fn event(self: *Reader, number: usize, text: []const u8, event_key: []const u8, shape: usize, walk: *const Walk) Failure!void {
        const said = self.slots[self.time] orelse return error.Unusual;
        const time = microseconds(said) orelse return error.Unusual;
        const given = self.givenId();
        if (given) |id| if (!isPlainId(id)) return error.Unusual;
        var made: [32]u8 = undefined;
        if (given == null) madeId(text, event_key, said, &made);
        var joined = json.Buffer{ .bytes = self.memory[2] };
        try self.writeSignature(walk.document, shape, &joined);
        const traits_at = joined.len;
        try self.writeTraits(&joined);

        try self.signature.append(joined.bytes[0..traits_at]);
        try self.device.append(joined.bytes[traits_at..joined.len]);
        try self.event_ids.append(given orelse &made);
        try self.properties.append(if (walk.left.len > 2) walk.left.bytes[0..walk.left.len] else null);
        try self.times.append(time);
        try self.shape.append(@intCast(shape));
        const row = self.rows.rows();
        try self.rows.append(@intCast(number));
        for (self.slots, self.texts, self.is_used, 0..) |value, *column, *is_used, slot| {
            if (value == null or slot == self.time or (slot >= self.ids.first and slot < self.ids.first + self.ids.count)) continue;
            is_used.* = true;
            try self.padTo(column, row);
            try column.append(value);
        }
    }

    /// The shape of an event, and its keys with the kind of each.
    fn writeSignature(_: *const Reader, document: *const json.Document, shape: usize, out: *json.Buffer) json.Error!void {
        try out.append(&.{@intCast('A' + shape)});
        var at: u32 = 1;
        while (at < document.tokens[0].next) : (at = document.tokens[at + 1].next) {
            try out.append(&.{@as(u8, 'a') + @backingInt(document.tokens[at + 1].kind)});
            try out.append(document.inner(at));
            try out.append("\n");
        }
    }

    fn writeTraits(self: *const Reader, out: *json.Buffer) json.Error!void {
        const begin = out.len;
        for (self.traits) |trait| {
            const first = self.known(trait.slots[0]) orelse continue;
            const second = if (trait.slots[1].count > 0) self.known(trait.slots[1]) orelse continue else null;
            if (out.len > begin) try out.append("\x1f");
            try out.append(self.name(trait.name));
            try out.append("=");
            try out.append(first);
            if (second) |more| {
                try out.append("x");
                try out.append(more);
            }
        }
    }
};

/// Walks over the objects of a line that the schema of its shape describes.
const Walk = struct {
    reader: *Reader,
    document: *const json.Document,
    shape: Shape,
    decoded: json.Buffer,
    left: json.Buffer, // what has no column, as JSON

    /// written: what has no column is written; read: the whole object is written by another one.
    const Use = enum { written, read };

    fn object(self: *Walk, fields: []const Field, token: u32, use: Use) Failure!void {
        const tokens = self.document.tokens;
        var seen: std.StaticBitSet(most_fields) = .empty;
        var unknown: [most_unknown]u32 = undefined;
        var unknown_count: usize = 0;
        var parted: [most_fields]u32 = undefined; // token of each field that is written in part
        var is_parted: std.StaticBitSet(most_fields) = .empty;
        var expected: usize = 0;
        var at = token + 1;
        while (at < tokens[token].next) : (at = tokens[at + 1].next) {
            if (tokens[at].has_escapes) return error.Unusual; // it may be the key of a field
            const key = self.document.inner(at);
            const number = self.find(fields, key, expected) orelse {
                if (use == .read) continue;
                for (unknown[0..unknown_count]) |other| if (columns.equal(self.document.inner(other), key)) return error.Unusual;
                if (unknown_count == most_unknown) return error.Unusual;
                unknown[unknown_count] = at;
                unknown_count += 1;
                try self.writeMember(key, at + 1);
                continue;
            };
            if (seen.isSet(number)) return error.Unusual;
            seen.set(number);
            expected = number + 1;
            const field = fields[number];
            try self.value(field, at + 1);
            const is_object = field.count > 0 and tokens[at + 1].kind == .object;
            if (is_object and !field.isParted()) try self.object(self.fieldsOf(field), at + 1, .read);
            if (use == .read) {
                if (is_object and field.isParted()) try self.object(self.fieldsOf(field), at + 1, .read);
            } else if (field.isLeftOver()) {
                try self.writeMember(key, at + 1);
            } else if (is_object and field.isParted()) {
                parted[number] = at + 1;
                is_parted.set(number);
            }
        }
        for (fields, 0..) |field, number| {
            if (token == 0 and field.has(Field.is_required) and !seen.isSet(number)) return error.Unusual;
            if (is_parted.isSet(number)) try self.part(field, parted[number]);
        }
    }

    fn fieldsOf(self: *const Walk, field: Field) []const Field {
        return self.reader.fields[field.first..][0..field.count];
    }

    /// The number of the field with this key. Events of a sender have their keys in one order, mostly the schema's.
    fn find(self: *const Walk, fields: []const Field, key: []const u8, expected: usize) ?usize {
        for (fields[@min(expected, fields.len)..], expected..) |field, number| {
            if (field.key.length == key.len and columns.equal(self.reader.name(field.key), key)) return number;
        }
        for (fields[0..@min(expected, fields.len)], 0..) |field, number| {
            if (field.key.length == key.len and columns.equal(self.reader.name(field.key), key)) return number;
        }
        return null;
    }

    /// Writes an object without what has a column, if anything is left.
    fn part(self: *Walk, field: Field, token: u32) Failure!void {
        const before = self.left.len;
        try self.writeKey(self.reader.name(field.key));
        try self.left.append("{");
        const inside = self.left.len;
        try self.object(self.fieldsOf(field), token, .written);
        if (self.left.len == inside) {
            self.left.len = before;
        } else {
            try self.left.append("}");
        }
    }

    fn writeMember(self: *Walk, key: []const u8, token: u32) Failure!void {
        try self.writeKey(key);
        try self.document.write(token, &self.left);
    }

    fn writeKey(self: *Walk, key: []const u8) Failure!void {
        if (self.left.bytes[self.left.len - 1] != '{') try self.left.append(",");
        try self.left.append("\"");
        try self.left.append(key);
        try self.left.append("\":");
    }

    /// Checks the value of a field, and keeps its text.
    fn value(self: *Walk, field: Field, token: u32) Failure!void {
        const kind = self.document.tokens[token].kind;
        if (field.has(Field.is_unusual) or (field.kinds != 0 and field.kinds & kind.bit() == 0)) return error.Unusual;
        if (kind == .null) return;
        if (field.has(Field.is_version)) try self.version(token);
        if (field.slot == none and field.least == 0 and field.most == 0) return;
        const said = try self.text(token, field.has(Field.is_json));
        if (said.len < field.least or (field.most > 0 and said.len > field.most)) return error.Unusual;
        if (field.slot == none or (said.len == 0 and field.has(Field.empty_is_none))) return;
        if (field.slot == self.shape.kind and columns.equal(said, self.reader.name(self.shape.batch))) return error.Unusual;
        self.reader.slots[field.slot] = said;
    }

    /// The text of a string, or the JSON of another value.
    fn text(self: *Walk, token: u32, as_json: bool) Failure![]const u8 {
        const of = self.document.tokens[token];
        const is_text = of.kind == .string and !as_json;
        if (is_text and !of.has_escapes) return self.document.inner(token);
        const start = self.decoded.len;
        if (is_text) {
            try json.unescape(self.document.inner(token), &self.decoded);
        } else {
            try self.document.write(token, &self.decoded);
        }
        return self.decoded.bytes[start..self.decoded.len];
    }

    fn version(self: *const Walk, token: u32) json.Error!void {
        const said = std.fmt.parseInt(u5, self.document.span(token), 10) catch return error.Unusual;
        if (self.shape.versions >> said & 1 == 0) return error.Unusual;
    }
};

/// Whether a text is surely an id: letters, digits, `-` and `_`, at least two different letters or digits, one of them
/// from 1 to 9. No placeholder is like this but two.
fn isPlainId(text: []const u8) bool {
    if (text.len < 2 or std.mem.startsWith(u8, text, "__")) return false;
    if (std.ascii.eqlIgnoreCase(text, "lmy47d") or std.ascii.eqlIgnoreCase(text, "9774d56d682e549c")) return false;
    var has_digit = false;
    var has_others = false;
    var first: u8 = 0;
    for (text) |sign| {
        if (sign == '-' or sign == '_') continue;
        if (!std.ascii.isAlphanumeric(sign)) return false;
        const small = std.ascii.toLower(sign);
        if (first == 0) first = small;
        has_others = has_others or small != first;
        has_digit = has_digit or (sign >= '1' and sign <= '9');
    }
    return has_digit and has_others;
}

/// The id of an event that was sent without one: a hash of its line and time.
fn madeId(line: []const u8, event_key: []const u8, time: []const u8, out: *[32]u8) void {
    const Md5 = std.crypto.hash.Md5;
    var digest: [16]u8 = undefined;
    Md5.hash(line, &digest, .{});
    const of_line = std.fmt.bytesToHex(digest, .lower);
    var hash = Md5.init(.{});
    hash.update(event_key);
    hash.update(&of_line);
    hash.update("|");
    hash.update(time);
    hash.update("|-1");
    hash.final(&digest);
    out.* = std.fmt.bytesToHex(digest, .lower);
}

// ---- times

/// Microseconds since 1970 of a time in one of the common forms: ISO 8601 in UTC or with an offset, seconds or
/// milliseconds since 1970. Null for any other, which Python reads.
fn microseconds(text: []const u8) ?i64 {
    if (text.len < 19) return sinceEpoch(text);
    const year = digits(text[0..4]) orelse return null;
    const month = digits(text[5..7]) orelse return null;
    const day = digits(text[8..10]) orelse return null;
    const hour = digits(text[11..13]) orelse return null;
    const minute = digits(text[14..16]) orelse return null;
    const second = digits(text[17..19]) orelse return null;
    if (text[4] != '-' or text[7] != '-' or (text[10] != 'T' and text[10] != ' ') or text[13] != ':' or text[16] != ':') return null;
    if (year < 1970 or year > 2200 or month < 1 or month > 12 or day < 1 or day > daysIn(year, month)) return null;
    if (hour > 23 or minute > 59 or second > 59) return null;
    var rest = text[19..];
    var fraction: i64 = 0;
    if (rest.len > 0 and rest[0] == '.') {
        var length: usize = 1;
        while (length < rest.len and std.ascii.isDigit(rest[length])) length += 1;
        if (length == 1 or length > 7) return null;
        fraction = digits(rest[1..length]) orelse return null;
        for (length..7) |_| fraction *= 10;
        rest = rest[length..];
    }
    const away = offset(rest) orelse return null;
    const seconds = (daysBefore(year, month, day) * 24 + hour) * 3600 + (minute - away) * 60 + second;
    return seconds * 1_000_000 + fraction;
}

/// The minutes of an offset from UTC.
fn offset(text: []const u8) ?i64 {
    if (text.len == 0 or (text.len == 1 and text[0] == 'Z')) return 0;
    if (text.len != 6 or (text[0] != '+' and text[0] != '-') or text[3] != ':') return null;
    const hours = digits(text[1..3]) orelse return null;
    const minutes = digits(text[4..6]) orelse return null;
    if (hours > 14 or minutes > 59) return null;
    return if (text[0] == '-') -(hours * 60 + minutes) else hours * 60 + minutes;
}

/// Whole seconds or milliseconds, with numbers that a double holds exactly.
fn sinceEpoch(text: []const u8) ?i64 {
    if (text.len == 0 or text.len > 13 or text[0] == '0') return null;
    const number = digits(text) orelse return null;
    if (number < 9_000_000_000) return number * 1_000_000;
    return if (number >= 100_000_000_000 and number < 9_000_000_000_000) number * 1_000 else null;
}

fn digits(text: []const u8) ?i64 {
    var number: i64 = 0;
    for (text) |sign| {
        if (!std.ascii.isDigit(sign)) return null;
        number = number * 10 + (sign - '0');
    }
    return number;
}

fn daysIn(year: i64, month: i64) i64 {
    if (month == 2) return if (@mod(year, 4) == 0 and (@mod(year, 100) != 0 or @mod(year, 400) == 0)) 29 else 28;
    return if (month == 4 or month == 6 or month == 9 or month == 11) 30 else 31;
}

/// The days from 1970-01-01 to a date from 1970 on.
fn daysBefore(year: i64, month: i64, day: i64) i64 {
    const past = if (month > 2) year else year - 1; // years that begin in March
    const leap_days = @divFloor(past, 4) - @divFloor(past, 100) + @divFloor(past, 400);
    const from_march = @mod(month + 9, 12);
    return past * 365 + leap_days + @divFloor(153 * from_march + 2, 5) + day - 1 - 719_468;
}

// ---- for ctypes

fn create(out: *?*Reader, table: *const Table) boundary.Error!void {
    out.* = try Reader.create(table.*);
}

export fn events_new(out: *?*Reader, table: *const Table) c_int {
    return boundary.guarded(create, .{ out, table });
}

const Lines = extern struct {
    data: [*]const u8,
    size: u64,
    ends: [*]const i32, // Arrow's offsets
    count: u64,
    rejected: [*]const u8, // for each line
    keys: [*]const u8,
    keys_size: u64,
    key_ends: [*]const i32,
    keys_count: u64,
    key_of: [*]const i32, // for each line
};

/// Reads lines. What was read before is gone.
export fn events_read(reader: *Reader, lines: *const Lines) c_int {
    return boundary.guarded(Reader.lines, .{
        reader,
        lines.data[0..lines.size],
        lines.ends[0 .. lines.count + 1],
        lines.rejected[0..lines.count],
        lines.keys[0..lines.keys_size],
        lines.key_ends[0 .. lines.keys_count + 1],
        lines.key_of[0..lines.count],
    });
}

export fn events_is_used(reader: *const Reader, slot: u64) bool {
    return reader.is_used[slot];
}

export fn events_text(reader: *Reader, slot: u64, out: *arrow.Array) c_int {
    return boundary.guarded(handOverText, .{ reader, slot, out });
}

fn handOverText(reader: *Reader, slot: u64, out: *arrow.Array) boundary.Error!void {
    try arrow.handOver(columns.CodedColumn, &reader.texts[slot], out);
}

/// The columns that all events have, in the order in which Python asks for them by number.
const Own = enum(u32) { line, time, shape, event_id, properties, device, signature };

export fn events_own(reader: *Reader, which: u32, out: *arrow.Array) c_int {
    return boundary.guarded(handOverOwn, .{ reader, which, out });
}

fn handOverOwn(reader: *Reader, which: u32, out: *arrow.Array) boundary.Error!void {
    switch (@as(Own, @fromBackingInt(@intCast(which)))) {
        .line => try arrow.handOver(Numbers, &reader.rows, out),
        .time => try arrow.handOver(Numbers, &reader.times, out),
        .shape => try arrow.handOver(Numbers, &reader.shape, out),
        .event_id => try arrow.handOver(columns.TextColumn, &reader.event_ids, out),
        .properties => try arrow.handOver(columns.TextColumn, &reader.properties, out),
        .device => try arrow.handOver(columns.CodedColumn, &reader.device, out),
        .signature => try arrow.handOver(columns.CodedColumn, &reader.signature, out),
    }
}

/// The lines that Python reads, in ascending order.
export fn events_odd(reader: *Reader, out: *[*]const i64) u64 {
    out.* = reader.odd.items.ptr;
    return reader.odd.items.len;
}

export fn events_free(reader: *Reader) void {
    reader.destroy();
}
