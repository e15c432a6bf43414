// SPDX-License-Identifier: GPL-2.0-or-later
// OpenJDK: C1 and C2, deoptimization, implicit null checks (a fault becomes an exception), collectors, threads, vectors by C2.
import java.math.BigInteger;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.util.*;
import java.util.concurrent.*;
import java.util.concurrent.atomic.*;
import java.util.stream.*;
import java.util.zip.*;

public class Mixed {
	interface Shape { double area(); }
	record Square(double a) implements Shape { public double area() { return a * a; } }
	record Circle(double r) implements Shape { public double area() { return 3 * r * r; } }
	record Odd(int n) implements Shape { public double area() { if (n % 1000 == 0) throw new IllegalStateException("odd " + n); return n; } }

	static int length(String s) { return s.length(); }

	public static void main(String[] args) throws Exception {
		int n = args.length > 0 ? Integer.parseInt(args[0]) : 20000;
		double sum = 0;
		int caught = 0;
		for (int i = 0; i < n * 5; i++) {
			Shape s = i < n * 3 ? (i % 2 == 0 ? new Square(i) : new Circle(i)) : new Odd(i);
			try { sum += s.area(); } catch (IllegalStateException e) { caught += e.getMessage().length(); }
		}
		System.out.println(sum + " " + caught);
		int npe = 0, bounds = 0, divided = 0, cast = 0;
		int[] a = new int[16];
		for (int i = 0; i < n; i++) {
			try { npe += length(i % 100 == 7 ? null : "xyz"); } catch (NullPointerException e) { npe -= 1000; }
			try { a[i % 17]++; } catch (ArrayIndexOutOfBoundsException e) { bounds++; }
			try { divided += 1000 / (i % 50); } catch (ArithmeticException e) { divided++; }
			try { Object o = i % 3 == 0 ? "s" : (Object)i; cast += (Integer)o; } catch (ClassCastException e) { cast--; }
		}
		System.out.println(npe + " " + bounds + " " + divided + " " + cast + " " + Arrays.toString(a));
		float[] x = new float[4096], y = new float[4096];
		int[] h = new int[4096];
		for (int r = 0; r < 200; r++)
			for (int i = 0; i < x.length; i++) { x[i] = i * 0.5f + r; y[i] += x[i] * 2 - 1; h[i] = h[i] * 31 + i; }
		System.out.println(Arrays.hashCode(y) + " " + Arrays.stream(h).sum());
		Random random = new Random(7);
		Map<String, List<Integer>> groups = IntStream.range(0, n).map(i -> random.nextInt(5000)).boxed()
			.collect(Collectors.groupingBy(i -> Integer.toString(i % 37, 36), TreeMap::new, Collectors.toList()));
		System.out.println(groups.entrySet().stream().map(e -> e.getKey() + e.getValue().size()).collect(Collectors.joining(",")));
		System.out.println(IntStream.range(0, n).parallel().mapToLong(i -> (long)i * i % 1009).sum());
		ExecutorService pool = Executors.newFixedThreadPool(4);
		AtomicLong total = new AtomicLong();
		ConcurrentHashMap<Integer, Integer> shared = new ConcurrentHashMap<>();
		List<Future<Integer>> futures = new ArrayList<>();
		for (int t = 0; t < 8; t++) {
			int me = t;
			futures.add(pool.submit(() -> {
				LinkedList<byte[]> garbage = new LinkedList<>();
				for (int i = 0; i < 3000; i++) {
					garbage.add(new byte[1000 + i % 500]);
					if (garbage.size() > 50) garbage.removeFirst();
					total.addAndGet(i);
					shared.merge(i % 100, 1, Integer::sum);
				}
				if (me == 5) throw new TimeoutException("thread " + me);
				return garbage.size();
			}));
		}
		for (Future<Integer> f : futures)
			try { System.out.print(f.get() + " "); } catch (ExecutionException e) { System.out.print(e.getCause().getMessage() + " "); }
		pool.shutdown();
		System.out.println(total + " " + shared.values().stream().mapToInt(i -> i).sum());
		BigInteger f = BigInteger.ONE;
		for (int i = 1; i < 600; i++) f = f.multiply(BigInteger.valueOf(i));
		byte[] text = f.toString().getBytes(StandardCharsets.US_ASCII);
		CRC32 crc = new CRC32();
		crc.update(text);
		for (String d : new String[] { "MD5", "SHA-1", "SHA-256", "SHA-512" })
			System.out.println(d + " " + HexFormat.of().formatHex(MessageDigest.getInstance(d).digest(text)).substring(0, 24));
		System.out.println(crc.getValue() + " " + f.mod(BigInteger.valueOf(1000003)) + " " + f.bitLength() + " " + f.isProbablePrime(5));
		System.out.println(Math.sin(1e6) + " " + Math.pow(1.1, 100) + " " + Math.fma(0.1, 10, -1) + " " + StrictMath.log(10) + " " + (int)Double.NaN + " " + (long)1e30);
		try { deep(0); } catch (StackOverflowError e) { System.out.println("stack overflow"); }
		StringBuilder b = new StringBuilder();
		for (int i = 0; i < n; i++) b.append((char)('a' + i * 7 % 26));
		System.out.println(b.toString().replaceAll("([aeiou])(.)", "$2$1").hashCode() + " " + b.indexOf("zz") + " " + b.reverse().toString().toUpperCase().hashCode());
	}

	static int deep(int n) { return deep(n + 1) + 1; }
}
