// SPDX-License-Identifier: GPL-2.0-or-later
// Mono: its JIT, exceptions out of faults, generics, threads, the collector.
using System;
using System.Collections.Generic;
using System.Linq;
using System.Text;
using System.Threading;

static class Mixed {
	class Node { public Node Next; public int V; }
	static int Faults(int i) {
		int[] a = new int[4];
		Node none = null;
		object o = "s";
		switch (i % 4) {
		case 0: return none.V;
		case 1: return a[i];
		case 2: return i / (i - i);
		default: return (int)o;
		}
	}
	static IEnumerable<int> Squares(int n) { for (int i = 0; i < n; i++) yield return i * i; }
	static void Main() {
		var count = new SortedDictionary<string, int>();
		for (int i = 4; i < 404; i++)
			try { Faults(i); } catch (Exception e) {
				string k = e.GetType().Name; int c; count.TryGetValue(k, out c); count[k] = c + 1;
			}
		foreach (var k in count) Console.WriteLine(k.Key + " " + k.Value);
		long total = 0;
		var threads = Enumerable.Range(0, 4).Select(t => new Thread(() => {
			Node list = null;
			for (int i = 0; i < 20000; i++) { list = i % 100 == 0 ? null : new Node { Next = list, V = i }; Interlocked.Add(ref total, i); }
		})).ToList();
		threads.ForEach(t => t.Start());
		threads.ForEach(t => t.Join());
		Console.WriteLine(total);
		double s = 0;
		for (int i = 1; i < 200000; i++) s += Math.Sqrt(i) / (i % 17 + 1);
		Console.WriteLine(s.ToString("R") + " " + Math.Pow(1.1, 50).ToString("R") + " " + 79228162514264337593543950335m / 7);
		Console.WriteLine(Squares(300).Where(x => x % 3 == 1).Select(x => (long)x).Sum() + " " + unchecked((int)(uint)4e9) + " " + (5L << 40 >> 3));
		var b = new StringBuilder();
		for (int i = 0; i < 500; i++) b.AppendFormat("{0:x4}|{1,6:0.00} ", i * 77, i / 7.0);
		uint h = 7;
		foreach (char c in b.ToString()) h = h * 31 + c;
		Console.WriteLine(h + " " + b.ToString().Substring(0, 40));
		try { try { throw new ApplicationException("inner"); } finally { Console.WriteLine("finally"); } }
		catch (ApplicationException e) { Console.WriteLine(e.Message); }
	}
}
