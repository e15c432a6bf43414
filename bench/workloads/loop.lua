-- SPDX-License-Identifier: GPL-2.0-or-later
-- Tables, closures, strings, floating point.
local n = tonumber(arg[1])
local list, names, sum = {}, {}, 0
local function counter(step)
	local value = 0
	return function(x) value = (value + x * step) % 1000003; return value end
end
local count = counter(3)
for i = 1, n do
	list[i % 1000 + 1] = { id = i, weight = i % 7 * 0.5 }
	local other = list[i * 31 % 1000 + 1]
	if other then sum = sum + other.weight end
	sum = sum + count(i) % 5
	if i % 20 == 0 then
		local key = "k" .. i % 613
		names[key] = (names[key] or 0) + #key
	end
end
for k = 0, 612 do sum = sum + (names["k" .. k] or 0) end
print(string.format("%.3f", sum))
