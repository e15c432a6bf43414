(* SPDX-License-Identifier: GPL-2.0-or-later *)
(* OCaml, native: exceptions, the collector, closures, floats, a segmentation fault that becomes an exception. *)
exception Found of int

type t = L | N of t * int * t
let rec make d = if d = 0 then L else N (make (d - 1), d, make (d - 1))
let rec sum = function L -> 0 | N (l, v, r) -> sum l + v + sum r
let rec deep n = 1 + deep (n + 1)

let () =
  let caught = ref 0 in
  for i = 0 to 20000 do
    try
      match i mod 4 with
      | 0 -> raise (Found i)
      | 1 -> ignore (i / (i - i))
      | 2 -> ignore [| 1 |].(i)
      | _ -> ignore (Hashtbl.find (Hashtbl.create 1) i)
    with Found k -> caught := !caught + k | Division_by_zero -> incr caught | Invalid_argument s -> caught := !caught + String.length s | Not_found -> decr caught
  done;
  Printf.printf "%d %d\n" !caught (sum (make 16));
  let s = ref 0.0 in
  for i = 1 to 300000 do s := !s +. (sqrt (float i) *. float ((i mod 7) - 3)) done;
  Printf.printf "%.10f %h\n" !s (exp 1.5);
  let h = Hashtbl.create 100 in
  for i = 0 to 50000 do Hashtbl.replace h (i * 7919 mod 997) i done;
  Printf.printf "%d %d\n" (Hashtbl.length h) (Hashtbl.fold (fun _ v a -> a + v) h 0);
  let l = List.init 20000 (fun i -> i * 7919 mod 10007) in
  Printf.printf "%s\n" (Digest.to_hex (Digest.string (String.concat "," (List.map string_of_int (List.sort compare l)))));
  Printf.printf "%Ld %nd %d\n" (Int64.shift_left 5L 60) (Nativeint.of_int (-3)) (max_int + 1);
  (try ignore (deep 0) with Stack_overflow -> print_endline "stack overflow");
  Gc.full_major ()
