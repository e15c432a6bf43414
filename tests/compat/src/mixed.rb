# SPDX-License-Identifier: GPL-2.0-or-later
# Ruby, with YJIT or without.
require 'digest'
require 'zlib'
n = (ARGV[0] || 2000).to_i
def fib(k) = k < 2 ? k : fib(k - 1) + fib(k - 2)
puts [fib(19), 3**200 % 10**30, -7 / 2, -7 % 3, 0.1 + 0.2, 1r / 3 + 2, 10.0.to_s].inspect
s = 0.0
(1..n * 20).each { |i| s += Math.sqrt(i) * (i % 7 - 3) }
puts s
caught = 0
n.times do |i|
  begin
    case i % 4
    when 0 then raise ArgumentError, "a#{i}"
    when 1 then i / (i - i)
    when 2 then nil.upcase
    else Integer('x')
    end
  rescue ZeroDivisionError, NoMethodError => e
    caught += e.class.name.size
  rescue ArgumentError => e
    caught += e.message.size
  ensure
    caught ^= 1
  end
end
puts caught
seed = 7
words = Array.new(n) { seed = (seed * 1_103_515_245 + 12_345) & 0x7fffffff; seed.to_s(36) }
text = words.sort.join(' ')
puts text.scan(/\b(\w)\w*\1\b/).size, text.gsub(/[aeiou]+/) { |m| m.upcase }[0, 50], Digest::SHA256.hexdigest(text), Zlib.crc32(text)
e = Enumerator.new { |y| a, b = 0, 1; loop { y << a; a, b = b, a + b } }
puts e.lazy.select(&:even?).map { |x| x % 1009 }.first(30).sum
puts words.group_by(&:size).transform_values(&:count).sort.inspect, words.each_slice(7).map { |w| w.map(&:hash).size }.sum
q = Queue.new
t = 4.times.map { |k| Thread.new { 200.times { |i| q << k * i } } }
t.each(&:join)
puts Array.new(q.size) { q.pop }.sum
def deep(k) = deep(k + 1) + 1
begin
  deep(0)
rescue SystemStackError
  puts 'stack'
end
puts catch(:out) { 10.times { |i| throw :out, i * i if i == 7 } }
f = Fiber.new { 3.times { |i| Fiber.yield i }; :end }
puts 4.times.map { f.resume }.inspect
