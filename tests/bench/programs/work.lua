-- Tables of tables, strings and closures. Argument: how much.
local n = tonumber(arg[1])
local index, list = {}, {}
for i = 0, n - 1 do
  local key = string.format("k%05d", i * 7919 % 50021)
  local entry = index[key]
  if not entry then
    entry = { key = key, values = {}, add = function(self, v) self.values[#self.values + 1] = v end }
    index[key] = entry
    list[#list + 1] = entry
  end
  entry:add({ i, key .. "/" .. i, x = i % 7 })
end
table.sort(list, function(a, b) return a.key < b.key end)
local parts, sum = {}, 0
for i, entry in ipairs(list) do
  for _, v in ipairs(entry.values) do
    sum = sum + v.x
    parts[#parts + 1] = v[2]:gsub("k0*", "K"):upper()
  end
  if i % 2 == 0 then index[entry.key], list[i] = nil, false end
end
local text = table.concat(parts, ",")
local words = 0
for word in text:gmatch("K(%d+)/") do words = words + #word end
print(#text, sum, words, #parts, text:sub(1, 40))
