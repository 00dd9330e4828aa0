// Where JNA finds the members of the structs that Decide.java types.

import com.sun.jna.Structure;
import com.sun.jna.Structure.FieldOrder;
import java.lang.reflect.Method;

public final class Layout {
    public static void main(String[] args) throws ReflectiveOperationException {
        print("bpos_error", new Decide.Failure());
        print("bpos_decision", new Decide.Decision());
    }

    private static void print(String name, Structure struct) throws ReflectiveOperationException {
        System.out.println(name + " " + struct.size());
        Method offset = Structure.class.getDeclaredMethod("fieldOffset", String.class);
        offset.setAccessible(true);
        for (String member : struct.getClass().getAnnotation(FieldOrder.class).value()) {
            System.out.println(name + "." + member + " " + offset.invoke(struct, member));
        }
    }
}
