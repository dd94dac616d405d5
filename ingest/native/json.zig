//! Reads a line of JSON (RFC 8259) into tokens, and writes parts of it as the reference writes them: without blanks,
//! and with no escapes but the necessary ones.
//!
//! `Unusual` is a line that the reference has to read: it is not JSON, or holds something of which the result depends
//! on a library, such as numbers that are not written in their shortest form.
const std = @import("std");

pub const Error = error{Unusual};

pub const most_tokens = 4096;
const most_depth = 60;
const most_keys = 2000; // as in the reference, which counts the keys of each object
const most_digits = 15; // of a number with a fraction: a double keeps them
const most_integer_digits = 18;

pub const Kind = enum(u8) {
    string,
    integer,
    real,
    boolean,
    object,
    array,
    null,

    /// The bit of this kind in a set of kinds.
    pub fn bit(self: Kind) u32 {
        return @as(u32, 1) << @intCast(@backingInt(self));
    }
};

/// A value, or the key of one: a key is a string whose value is the next token.
pub const Token = struct {
    kind: Kind,
    has_escapes: bool, // of its strings, at any depth
    start: u32,
    end: u32, // strings: with their quotes
    next: u32, // the token behind it and all that it holds
};

pub const Document = struct {
    text: []const u8,
    tokens: []const Token,
    has_blanks: bool, // between tokens

    /// Appends a value as JSON without blanks.
    pub fn write(self: *const Document, token: u32, out: *Buffer) Error!void {
        const value = self.tokens[token];
        if (!value.has_escapes and (!self.has_blanks or value.next == token + 1)) {
            const is_empty = (value.kind == .object or value.kind == .array) and value.next == token + 1;
            return out.append(if (!is_empty) self.span(token) else if (value.kind == .object) "{}" else "[]");
        }
        switch (value.kind) {
            .string => try writeString(self.inner(token), out),
            .object => try self.writeAll(token, "{", "}", out),
            .array => try self.writeAll(token, "[", "]", out),
            else => try out.append(self.span(token)),
        }
    }

    fn writeAll(self: *const Document, token: u32, open: []const u8, close: []const u8, out: *Buffer) Error!void {
        const has_keys = self.tokens[token].kind == .object;
        try out.append(open);
        var at = token + 1;
        while (at < self.tokens[token].next) : (at = self.tokens[at].next) {
            if (at > token + 1) try out.append(",");
            if (has_keys) {
                try self.write(at, out);
                try out.append(":");
                at += 1;
            }
            try self.write(at, out);
        }
        try out.append(close);
    }

    pub fn span(self: *const Document, token: u32) []const u8 {
        return self.text[self.tokens[token].start..self.tokens[token].end];
    }

    /// A string as it stands between its quotes.
    pub fn inner(self: *const Document, token: u32) []const u8 {
        return self.text[self.tokens[token].start + 1 .. self.tokens[token].end - 1];
    }
};

/// A text that grows up to a fixed size.
pub const Buffer = struct {
    bytes: []u8,
    len: usize = 0,

    pub fn append(self: *Buffer, text: []const u8) Error!void {
        if (text.len > self.bytes.len - self.len) return error.Unusual;
        @memcpy(self.bytes[self.len..][0..text.len], text);
        self.len += text.len;
    }
};

pub const Scanner = struct {
    text: []const u8,
    at: u32 = 0,
    tokens: *[most_tokens]Token,
    count: u32 = 0,
    keys: u32 = 0,
    has_blanks: bool = false,

    pub fn document(text: []const u8, tokens: *[most_tokens]Token) Error!Document {
        var self = Scanner{ .text = text, .tokens = tokens };
        _ = try self.value(0);
        self.skipBlanks();
        if (self.at != text.len) return error.Unusual;
        return .{ .text = text, .tokens = tokens[0..self.count], .has_blanks = self.has_blanks };
    }

    /// Reads a value; whether its strings have escapes.
    fn value(self: *Scanner, depth: u32) Error!bool {
        const me = try self.begin();
        var has_escapes = false;
        const kind: Kind = switch (self.text[self.at]) {
            '"' => string: {
                has_escapes = try self.string();
                break :string .string;
            },
            '{' => object: {
                has_escapes = try self.all('}', depth);
                break :object .object;
            },
            '[' => array: {
                has_escapes = try self.all(']', depth);
                break :array .array;
            },
            't' => try self.word("true", .boolean),
            'f' => try self.word("false", .boolean),
            'n' => try self.word("null", .null),
            else => try self.number(),
        };
        self.finish(me, kind, has_escapes);
        return has_escapes;
    }

    /// Begins a token at the next sign that is not blank.
    fn begin(self: *Scanner) Error!u32 {
        self.skipBlanks();
        if (self.at >= self.text.len or self.count == most_tokens) return error.Unusual;
        self.tokens[self.count].start = self.at;
        self.count += 1;
        return self.count - 1;
    }

    fn finish(self: *Scanner, token: u32, kind: Kind, has_escapes: bool) void {
        self.tokens[token] = .{
            .kind = kind,
            .has_escapes = has_escapes,
            .start = self.tokens[token].start,
            .end = self.at,
            .next = self.count,
        };
    }

    /// The members of an object or the elements of an array, up to its end.
    fn all(self: *Scanner, end: u8, depth: u32) Error!bool {
        if (depth == most_depth) return error.Unusual;
        self.at += 1;
        if (try self.peek() == end) {
            self.at += 1;
            return false;
        }
        var has_escapes = false;
        while (true) {
            if (end == '}') has_escapes = try self.key() or has_escapes;
            has_escapes = try self.value(depth + 1) or has_escapes;
            const sign = try self.peek();
            self.at += 1;
            if (sign == end) return has_escapes;
            if (sign != ',') return error.Unusual;
        }
    }

    fn key(self: *Scanner) Error!bool {
        self.keys += 1;
        if (self.keys > most_keys) return error.Unusual;
        const me = try self.begin();
        if (self.text[self.at] != '"') return error.Unusual;
        const has_escapes = try self.string();
        self.finish(me, .string, has_escapes);
        if (try self.peek() != ':') return error.Unusual;
        self.at += 1;
        return has_escapes;
    }

    fn peek(self: *Scanner) Error!u8 {
        self.skipBlanks();
        return if (self.at < self.text.len) self.text[self.at] else error.Unusual;
    }

    fn skipBlanks(self: *Scanner) void {
        while (self.at < self.text.len and self.text[self.at] <= ' ') : (self.at += 1) {
            switch (self.text[self.at]) {
                ' ', '\t', '\r', '\n' => self.has_blanks = true,
                else => return,
            }
        }
    }

    fn word(self: *Scanner, wanted: []const u8, kind: Kind) Error!Kind {
        if (!std.mem.startsWith(u8, self.text[self.at..], wanted)) return error.Unusual;
        self.at += @intCast(wanted.len);
        return kind;
    }

    /// From a quote to the quote that closes it.
    fn string(self: *Scanner) Error!bool {
        const Block = @Vector(32, u8);
        var at: usize = self.at + 1;
        var has_escapes = false;
        const text = self.text;
        while (true) {
            while (at + 32 <= text.len) {
                const block: Block = text[at..][0..32].*;
                const quotes: u32 = @bitCast(block == @as(Block, @splat('"')));
                const slashes: u32 = @bitCast(block == @as(Block, @splat('\\')));
                const controls: u32 = @bitCast(block < @as(Block, @splat(' ')));
                const signs = quotes | slashes | controls;
                if (signs != 0) {
                    at += @ctz(signs);
                    break;
                }
                at += 32;
            } else while (at < text.len and text[at] != '"' and text[at] != '\\' and text[at] >= ' ') at += 1;
            if (at >= text.len or text[at] < ' ') return error.Unusual;
            if (text[at] == '"') {
                self.at = @intCast(at + 1);
                return has_escapes;
            }
            has_escapes = true;
            at += (try escaped(text[at..])).read;
        }
    }

    /// A number that is written in its shortest form, so that reading and writing it leaves its text as it is.
    fn number(self: *Scanner) Error!Kind {
        const text = self.text;
        const is_negative = text[self.at] == '-';
        const first = self.at + @intFromBool(is_negative);
        const dot = digitsFrom(text, first);
        const whole = dot - first;
        const starts_with_zero = whole > 0 and text[first] == '0';
        if (whole == 0 or whole > most_integer_digits or (starts_with_zero and whole > 1)) return error.Unusual;
        self.at = dot;
        if (dot < text.len and text[dot] == '.') {
            const end = digitsFrom(text, dot + 1);
            const fraction = text[dot + 1 .. end];
            if (fraction.len == 0 or whole + fraction.len > most_digits) return error.Unusual;
            if (fraction[fraction.len - 1] == '0' and fraction.len > 1) return error.Unusual;
            if (starts_with_zero and std.mem.startsWith(u8, fraction, "00")) return error.Unusual;
            self.at = end;
            if (self.atExponent()) return error.Unusual;
            return .real;
        }
        if (self.atExponent() or (is_negative and starts_with_zero)) return error.Unusual;
        return .integer;
    }

    fn atExponent(self: *const Scanner) bool {
        return self.at < self.text.len and (self.text[self.at] | 0x20) == 'e';
    }
};

fn digitsFrom(text: []const u8, from: u32) u32 {
    var at = from;
    while (at < text.len and std.ascii.isDigit(text[at])) at += 1;
    return at;
}

/// Appends the text of a string as it stands between its quotes.
pub fn unescape(string: []const u8, out: *Buffer) Error!void {
    var rest = string;
    while (std.mem.indexOfScalar(u8, rest, '\\')) |slash| {
        try out.append(rest[0..slash]);
        const character = try escaped(rest[slash..]);
        try out.append(character.bytes[0..character.len]);
        rest = rest[slash + character.read ..];
    }
    try out.append(rest);
}

/// Appends a string with its quotes and only those escapes that JSON asks for.
fn writeString(string: []const u8, out: *Buffer) Error!void {
    try out.append("\"");
    var rest = string;
    while (std.mem.indexOfScalar(u8, rest, '\\')) |slash| {
        try out.append(rest[0..slash]);
        const character = try escaped(rest[slash..]);
        const sign = character.bytes[0];
        if (sign < ' ' or sign == '"' or sign == '\\') {
            try writeEscape(sign, out);
        } else {
            try out.append(character.bytes[0..character.len]);
        }
        rest = rest[slash + character.read ..];
    }
    try out.append(rest);
    try out.append("\"");
}

fn writeEscape(sign: u8, out: *Buffer) Error!void {
    try out.append(switch (sign) {
        '"' => "\\\"",
        '\\' => "\\\\",
        8 => "\\b",
        9 => "\\t",
        10 => "\\n",
        12 => "\\f",
        13 => "\\r",
        else => {
            const digits = "0123456789ABCDEF";
            return out.append(&.{ '\\', 'u', '0', '0', digits[sign >> 4], digits[sign & 15] });
        },
    });
}

const Character = struct { bytes: [4]u8, len: u3, read: usize };

/// The character of the escape that a text begins with. A NUL and half a surrogate pair are unusual.
fn escaped(text: []const u8) Error!Character {
    if (text.len < 2) return error.Unusual;
    const simple: u8 = switch (text[1]) {
        '"', '\\', '/' => text[1],
        'b' => 8,
        'f' => 12,
        'n' => '\n',
        'r' => '\r',
        't' => '\t',
        'u' => return unicode(text),
        else => return error.Unusual,
    };
    return .{ .bytes = .{ simple, 0, 0, 0 }, .len = 1, .read = 2 };
}

fn unicode(text: []const u8) Error!Character {
    var point: u21 = try unit(text);
    var read: usize = 6;
    if (point == 0 or (point >= 0xDC00 and point <= 0xDFFF)) return error.Unusual;
    if (point >= 0xD800 and point <= 0xDBFF) {
        const low = try unit(text[6..]);
        if (low < 0xDC00 or low > 0xDFFF) return error.Unusual;
        point = 0x10000 + ((point - 0xD800) << 10) + (low - 0xDC00);
        read = 12;
    }
    var found = Character{ .bytes = undefined, .len = 0, .read = read };
    found.len = std.unicode.utf8Encode(point, &found.bytes) catch return error.Unusual;
    return found;
}

/// The number of an escape `\uXXXX`.
fn unit(text: []const u8) Error!u21 {
    if (text.len < 6 or text[0] != '\\' or text[1] != 'u') return error.Unusual;
    var number: u21 = 0;
    for (text[2..6]) |sign| {
        const digit: u21 = std.fmt.charToDigit(sign, 16) catch return error.Unusual;
        number = number * 16 + digit;
    }
    return number;
}
