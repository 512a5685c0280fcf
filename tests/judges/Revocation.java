import java.io.InputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.cert.CertPathValidator;
import java.security.cert.CertPathValidatorException;
import java.security.cert.CertificateFactory;
import java.security.cert.PKIXParameters;
import java.security.cert.PKIXRevocationChecker;
import java.security.cert.TrustAnchor;
import java.security.cert.X509Certificate;
import java.util.List;
import java.util.Map;
import java.util.Set;

/**
 * Has Java judge responses with hard-fail revocation: Revocation.java FOLDER..., each with issuer.pem,
 * certificate.pem and response.der. A line for each; exit code 1 unless all are good.
 */
class Revocation {
    public static void main(String[] folders) throws Exception {
        boolean allGood = true;
        for (String folder : folders) {
            try {
                validate(Path.of(folder));
                System.out.println("good " + folder);
            } catch (CertPathValidatorException refusal) {
                allGood = false;
                System.out.println(folder + ": " + refusal.getReason() + ": " + refusal.getMessage());
            }
        }
        System.exit(allGood ? 0 : 1);
    }

    static void validate(Path folder) throws Exception {
        X509Certificate issuer = read(folder.resolve("issuer.pem"));
        X509Certificate certificate = read(folder.resolve("certificate.pem"));
        CertPathValidator validator = CertPathValidator.getInstance("PKIX");
        PKIXRevocationChecker checker = (PKIXRevocationChecker) validator.getRevocationChecker();
        // Without SOFT_FAIL: what cannot be judged is refused.
        checker.setOptions(Set.of(
            PKIXRevocationChecker.Option.NO_FALLBACK,
            PKIXRevocationChecker.Option.ONLY_END_ENTITY));
        checker.setOcspResponses(Map.of(certificate, Files.readAllBytes(folder.resolve("response.der"))));
        PKIXParameters parameters = new PKIXParameters(Set.of(new TrustAnchor(issuer, null)));
        parameters.addCertPathChecker(checker);
        CertificateFactory factory = CertificateFactory.getInstance("X.509");
        validator.validate(factory.generateCertPath(List.of(certificate)), parameters);
    }

    static X509Certificate read(Path path) throws Exception {
        try (InputStream stream = Files.newInputStream(path)) {
            return (X509Certificate) CertificateFactory.getInstance("X.509").generateCertificate(stream);
        }
    }
}
