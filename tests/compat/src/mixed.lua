-- SPDX-License-Identifier: GPL-2.0-or-later
-- Lua and LuaJIT: tables, strings, closures, coroutines, errors, floats; a loop hot enough for traces.
local n = tonumber(arg and arg[1]) or 2000
local seed = 42
local function rnd(m) seed = (seed * 16807) % 2147483647; return seed % m end
local t = {}
for i = 1, n do t[i] = rnd(1000) end
table.sort(t, function(a, b) return a > b end)
local s = 0
for i = 1, n do s = s + i * t[i] end
print(string.format("%.0f", s), t[1], t[n])
local function matrix(k)
	local a = {}
	for i = 1, k do a[i] = {} for j = 1, k do a[i][j] = 1 / (i + j - 1) end end
	local d = 1
	for i = 1, k do
		d = d * a[i][i]
		for j = i + 1, k do
			local f = a[j][i] / a[i][i]
			for l = i, k do a[j][l] = a[j][l] - f * a[i][l] end
		end
	end
	return d
end
print(string.format("%.14e %.14e", matrix(6), matrix(12)))
local sieve, primes = {}, 0
for i = 2, n * 20 do
	if not sieve[i] then primes = primes + 1 for j = i * 2, n * 20, i do sieve[j] = true end end
end
print(primes)
local parts = {}
for i = 1, n do parts[#parts + 1] = string.format("%x", rnd(65536)) end
local text = table.concat(parts, ",")
local vowels = 0
for w in text:gmatch("%a+") do vowels = vowels + #w end
print(#text, vowels, (text:gsub("a(%d)", "<%1>")):sub(1, 70))
local co = coroutine.wrap(function() local a, b = 0, 1 while true do coroutine.yield(a) a, b = b, (a + b) % 1000007 end end)
local c = 0
for i = 1, n do c = (c + co()) % 1000007 end
print(c)
local caught = 0
for i = 1, n do
	local ok, e = pcall(function() if i % 3 == 0 then error({ v = i }) elseif i % 7 == 0 then return nil + 1 end return i end)
	if not ok then caught = caught + (type(e) == "table" and e.v or 1) end
end
print(caught)
local x = 0
for i = 1, n * 200 do x = x + math.sin(i) * (i % 7 == 0 and -1 or 1) end
print(string.format("%.9f", x))
-- 64-bit literals are LuaJIT's own syntax.
if jit then
	load([[
	local n = ...
	local ffi, bit = require("ffi"), require("bit")
	ffi.cdef("int abs(int); typedef struct { uint8_t r, g; int16_t b; double d; } px; double strtod(const char *, char **);")
	local a, h = ffi.new("px[?]", 256), 0
	for i = 0, n * 50 do
		local p = a[i % 256]
		p.r, p.b, p.d = i, i * 3, i / 3
		h = bit.bxor(bit.rol(h, 5), p.r + p.b + ffi.C.abs(-i))
	end
	print(h, tostring(ffi.new("int64_t", -5) * 7LL), ffi.C.strtod("2.5e3", nil))
	]])(n)
end
